/** Requests to the service's API: JSON in and out, errors as Problem, a dialog for the key if one is needed. */

import { byId, capital } from "./dom.js";

const KEY = "demand-forecast-key";
const TITLES = {
  0: "The service cannot be reached",
  401: "A key is needed",
  404: "Not in the forecast",
  429: "Too many requests",
  503: "No forecast can be shown yet",
};

/** A failed request: `status` of HTTP, or 0 if no answer came; `title` and `message` are for the reader. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
    this.title = TITLES[status] ?? "Something went wrong";
  }
}

/** The JSON of GET `path`; parameters that are null or empty are left out. Throws Problem. */
export function get(path, parameters = {}, signal = undefined) {
  const known = Object.entries(parameters).filter(([, value]) => value != null && value !== "");
  const query = new URLSearchParams(known).toString();
  return ask(query ? `${path}?${query}` : path, { signal });
}

/** The JSON of POST `path`. Throws Problem. */
export function post(path, body, signal = undefined) {
  return ask(path, { method: "POST", body: JSON.stringify(body), signal });
}

let described;

/** What the service says of the numbers of `model`, by name: `label`, `unit` and `meaning`. Raises Problem. */
export async function columnsOf(model) {
  described ??= get("/openapi.json");
  const { properties } = (await described).components.schemas[model];
  const shown = Object.entries(properties).filter(([, column]) => column["x-label"]);
  return shown.map(([name, column]) => ({
    name,
    label: column["x-label"],
    unit: column["x-unit"],
    meaning: column.description,
  }));
}

/** Whether `error` only means that a newer request replaced this one. */
export const isAborted = (error) => error.name === "AbortError";

async function ask(path, request) {
  const key = sessionStorage.getItem(KEY);
  const headers = { Accept: "application/json" };
  if (request.body) headers["Content-Type"] = "application/json";
  if (key) headers.Authorization = `Bearer ${key}`;
  let answer;
  try {
    answer = await fetch(path, { ...request, headers, cache: "no-store" });
    if (answer.ok) return await answer.json();
  } catch (error) {
    if (isAborted(error)) throw error;
    throw new Problem(0, "The connection failed. It is tried again every half minute.");
  }
  if (answer.status !== 401) throw await problemOf(answer);
  if (sessionStorage.getItem(KEY) === key) await askForKey(Boolean(key));
  return ask(path, request);
}

async function problemOf(answer) {
  const problem = await answer.json().catch(() => ({}));
  const wait = answer.status === 429 ? ` Try again in ${answer.headers.get("Retry-After") ?? "a few"} s.` : "";
  return new Problem(answer.status, capital(problem.detail ?? `the service answered ${answer.status}.`) + wait);
}

let asking;

/** Asks the reader for a key, once for all requests that wait for it. Rejects with Problem 401 if none is given. */
function askForKey(refused) {
  asking ??= new Promise((resolve, reject) => {
    const [dialog, field] = [byId("key"), byId("key-text")];
    byId("key-said").textContent = refused
      ? "This key is not known, or has expired. Whoever runs the service can give you a new one."
      : "The forecast is for those who have a key. Whoever runs the service can give you one.";
    field.value = "";
    byId("key-form").onsubmit = () => sessionStorage.setItem(KEY, field.value.trim());
    byId("key-cancel").onclick = () => dialog.close();
    dialog.returnValue = "";
    dialog.onclose = () => {
      asking = undefined;
      if (dialog.returnValue === "given") resolve();
      else reject(new Problem(401, "Without a key there is nothing to show."));
    };
    dialog.showModal();
    field.focus();
  });
  return asking;
}
