/** The planner page: chooses the view, watches what is live, and renews the page. */

import { get, isAborted } from "./api.js";
import { byId, capital, describe, element } from "./dom.js";
import { daysBetween, exact, fullDay, moment, percent, today, whole, word } from "./format.js";
import { NewProduct } from "./new_product.js";
import { linkTo, Overview } from "./overview.js";
import { Periods } from "./periods.js";
import { Search } from "./search.js";
import { Series } from "./series.js";

const POLL = 30_000;
const OLD = { day: 3, week: 8, month: 32 }; // days after a period after which a night was missed
const NAMES = {
  ensemble: "Ensemble",
  lightgbm: "LightGBM",
  seasonal_naive: "Seasonal naive",
  gradient_boosting: "Gradient boosting",
};
const SHARES = new Set([
  "wape",
  "bias",
  "wql",
  "coverage_80",
  "calibration_error",
  "fva_wape",
  "fva_wrmsse",
  "fva_wql",
]);
const METRICS = { bias: "Bias", coverage_80: "Coverage of 80 %", calibration_error: "Calibration error" };

const overview = new Overview();
const series = new Series(() => look());
const newProduct = new NewProduct();
new Search((item) => go(linkTo(item)));

let model;
let shown; // the package whose forecast is on the page
let waiting; // the problem that keeps the page from showing anything

byId("retry").addEventListener("click", begin);
window.addEventListener("hashchange", () => location.hash !== "#main" && show());
document.addEventListener("visibilitychange", () => document.hidden || look());
setInterval(() => document.hidden || look(), POLL);
begin();

async function begin() {
  waiting = null;
  state("Loading the forecast…", "");
  await look();
}

/** Asks what is live, and renews the page if that has changed. */
async function look() {
  if (waiting?.status === 401) return; // asked again when the reader retries
  try {
    model = await get("/v1/model");
  } catch (error) {
    if (shown && error.status === 0) notices([[error.title, error.message]]);
    else stop(error);
    return;
  }
  about();
  if (model.package === shown) notices(standing());
  else if (shown && inUse()) offer();
  else await show({ renewed: Boolean(shown) });
}

/** The view that the address names, and the series if it names one. */
function asked() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const [store, product] = [parameters.get("store"), parameters.get("product")];
  if (store && product) return { view: "series", item: { store_id: store, product_id: product } };
  return { view: parameters.has("new") ? "new" : "overview" };
}

/** Whether the reader has filled something in that a newer forecast would disturb. */
function inUse() {
  const { view } = asked();
  return (view === "series" && series.inUse) || (view === "new" && newProduct.inUse);
}

function go(hash) {
  if (location.hash === hash) show();
  else location.hash = hash;
}

async function show({ renewed = false } = {}) {
  if (!model) return;
  const { view: name, item } = asked();
  const began = model.package;
  try {
    byId("main").setAttribute("aria-busy", "true");
    if (name === "series") await series.load(item, model);
    else if (name === "new") await newProduct.load(model);
    else await overview.load();
  } catch (error) {
    if (!isAborted(error)) stop(error);
    return;
  } finally {
    byId("main").removeAttribute("aria-busy");
  }
  const first = !shown;
  shown = began;
  waiting = null;
  view(name);
  const title = { series: item && `${item.product_id} · ${item.store_id}`, new: "New product" }[name];
  document.title = title ? `${title} – Demand forecast` : "Demand forecast";
  if (!first && !renewed) {
    window.scrollTo(0, 0);
    byId(`${name}-title`).focus({ preventScroll: true });
  }
  notices([
    ...(renewed ? [["Renewed", `This is the forecast from ${origin()}, model version ${model.model_version}.`]] : []),
    ...standing(),
  ]);
}

function view(name) {
  for (const id of ["state", "overview", "series", "new"]) byId(id).hidden = id !== name;
}

function stop(error) {
  waiting = error;
  state(error.title ?? "Something went wrong", error.message);
  byId("retry").hidden = error.status === 404;
  byId("state-back").hidden = error.status !== 404;
  if (!error.title) throw error; // a defect of the page: the console has it
}

function state(title, text) {
  view("state");
  byId("state-title").textContent = title;
  byId("state-said").textContent = text;
  byId("retry").hidden = byId("state-back").hidden = true;
}

/** The forecast origin in words. */
function origin() {
  const [periods, date] = [new Periods(model), model.forecast_origin];
  if (periods.word === "day") return fullDay(date);
  return periods.word === "week" ? `the ${periods.name(date)}` : periods.name(date);
}

/** What the reader should know about what is live, as pairs of title and sentence. */
function standing() {
  const { refused, reservations, prediction_log: log } = model;
  const periods = new Periods(model);
  const age = daysBetween(periods.last(model.forecast_origin), today());
  const found = [];
  if (age > OLD[periods.word]) {
    found.push([
      "Old forecast",
      `It knows sales until ${origin()}, ${whole(age)} days ago. Has the nightly run stopped?`,
    ]);
  }
  if (reservations.length) found.push(["With reservations", `${reservations.map(capital).join(". ")}.`]);
  if (refused) found.push(["A newer forecast was refused", `${refused.reason}. The one before stays.`]);
  if (!log.written) found.push(["Answers are not written down", log.reason ?? "The log of answers is switched off."]);
  else if (log.lost) found.push(["Answers were not written down", `The log lost ${whole(log.lost)} of them.`]);
  return found;
}

function notices(found) {
  const place = byId("notices");
  const text = found.map((line) => line.join(": ")).join("\n");
  if (place.dataset.text === text) return; // set again, it would be read aloud again
  place.dataset.text = text;
  place.replaceChildren(...found.map(([title, sentence]) => element("p", {}, element("b", {}, title), " ", sentence)));
}

function offer() {
  const take = element("button", { type: "button", class: "button" }, "Show it");
  take.addEventListener("click", () => show({ renewed: true }));
  const place = byId("notices");
  if (place.dataset.text === model.package) return;
  place.dataset.text = model.package;
  place.replaceChildren(
    element(
      "p",
      {},
      element("b", {}, "A newer forecast is live"),
      `, from ${origin()}. Your inputs are for the one before. `,
      take,
    ),
  );
}

function metricName(name) {
  if (name.startsWith("fva_")) return `Better than seasonal naive, ${metricName(name.slice(4))}`;
  return METRICS[name] ?? (name.includes("_") ? capital(word(name)) : name.toUpperCase());
}

function about() {
  const { model: name, model_version: version, promotion, metrics, prediction_log: log } = model;
  byId("live").replaceChildren(
    element("span", {}, "sales known until ", element("b", {}, origin())),
    element("span", {}, `${NAMES[name] ?? word(name)}, version ${version}`),
    element("span", {}, `${whole(model.series)} series`),
  );
  const data = Object.entries(model.data_versions).map(([table, of]) => `${word(table)} ${of}`);
  describe(byId("about-model"), [
    ["Model", `${NAMES[name] ?? word(name)}, version ${version}`],
    ["Trained", moment(model.trained_at)],
    ["Data version", data.find((text) => text.startsWith("daily demand")) ?? data[0]],
    ["Forecast", `${model.horizon} ${new Periods(model).word}s after ${origin()}`],
    ["WAPE in the backtest", metrics.wape == null ? null : percent(metrics.wape, 1)],
    ["Package", model.package],
  ]);
  const figure = ([metric, value]) => [metricName(metric), SHARES.has(metric) ? percent(value, 1) : exact(value)];
  describe(byId("about-more"), [
    ...Object.entries(metrics)
      .filter(([, value]) => value != null)
      .map(figure),
    ["Live because", promotion.decision && word(promotion.decision)],
    ["Decided", promotion.decided_at && moment(promotion.decided_at)],
    ["Reasons", promotion.reasons],
    ["Data versions", data.join(", ")],
    ["Log of answers", log.written ? `written, ${whole(log.lost)} lost` : "not written"],
  ]);
  byId("about").hidden = false;
}
