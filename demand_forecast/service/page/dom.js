/** Small things around the document. What comes from the API goes in as text only. */

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children; texts become text nodes, null children are left out. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child != null));
  return made;
}

/** Fills a `dl` with pairs of term and description; those without a description are left out. */
export function describe(list, pairs) {
  const known = pairs.filter(([, said]) => said != null && said !== "");
  list.replaceChildren(
    ...known.map(([term, said]) => element("div", {}, element("dt", {}, term), element("dd", {}, said))),
  );
}

/** `work`, called once nothing has asked for it in the last `wait` milliseconds. */
export function debounced(work, wait) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), wait);
  };
}

/** Gives, at each call, an AbortSignal that ends the work begun at the call before. */
export function latest() {
  let controller;
  return () => {
    controller?.abort();
    controller = new AbortController();
    return controller.signal;
  };
}

/** What the radio buttons of a fieldset are set to. */
export const chosen = (fieldset) => fieldset.querySelector("input:checked").value;

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Shows a problem in words, or hides it where there is none. */
export function tell(place, problem) {
  place.hidden = !problem;
  place.textContent = problem ? problem.message : "";
}
