/** Building and reading the document. Texts of the API are inserted as text nodes only. */

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children; strings become text nodes, null children are left out. */
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
  const known = pairs.filter(([, text]) => text != null && text !== "");
  list.replaceChildren(
    ...known.map(([term, text]) => element("div", {}, element("dt", {}, term), element("dd", {}, text))),
  );
}

/** `work`, delayed until it has not been called for `wait` milliseconds. */
export function debounced(work, wait) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), wait);
  };
}

/** A function that returns a new AbortSignal at each call and aborts the previous one. */
export function latest() {
  let controller;
  return () => {
    controller?.abort();
    controller = new AbortController();
    return controller.signal;
  };
}

/** The value chosen by the radio buttons of a fieldset. */
export const chosen = (fieldset) => fieldset.querySelector("input:checked").value;

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Shows the message of `problem` in `place`; hides `place` if there is none. */
export function tell(place, problem) {
  place.hidden = !problem;
  place.textContent = problem ? problem.message : "";
}
