/** The view of a product that nobody sells yet: its forecast, from its attributes. */

import { get, isAborted, post } from "./api.js";
import { Chart, daysOf, NO_HISTORY } from "./chart.js";
import { byId, capital, debounced, element, latest, tell } from "./dom.js";
import { units, whole, word } from "./format.js";
import { Periods } from "./periods.js";
import { LEVELS, save, tablesOf } from "./numbers.js";

const ANY = "";
const ATTRIBUTE = "attribute:"; // prefix of their fields' names
const NAME = "new product"; // while no product number is given

export class NewProduct {
  constructor() {
    this.form = byId("new-form");
    this.next = latest();
    this.chart = new Chart(byId("new-plot"), byId("new-legend"));
    const ask = debounced(() => this.ask(), 250);
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", (event) => {
      this.narrow(event.target);
      ask();
    });
    byId("new-csv").addEventListener("click", () => save(this.item, this.forecast));
  }

  /** Whether something was filled in. It survives a new forecast, but the focus does not. */
  get inUse() {
    return [...this.form.elements].some((field) => field.name !== "store_id" && field.value !== "");
  }

  /** Loads the kinds of products and starts with the most common one. Throws Problem. */
  async load(model) {
    const [{ stores, kinds }, filled] = [await get("/v1/kinds"), this.filled];
    Object.assign(this, { model, kinds, periods: new Periods(model) });
    const shops = stores.map((store) => element("option", { value: store }, store));
    this.form.replaceChildren(
      element("label", {}, "Shop", element("select", { name: "store_id" }, ...shops)),
      ...model.attributes.map((name) => this.choice(name)),
      ...(model.planned.price ? [this.priceField()] : []),
      element(
        "label",
        { class: "full" },
        "Product number",
        element("input", { name: "product_id", maxlength: 200, spellcheck: "false", placeholder: "if it has one" }),
      ),
    );
    for (const [name, value] of filled) {
      const field = this.form.elements[name];
      if (field) field.value = value;
      if (field?.value === "" && field.tagName === "SELECT") field.selectedIndex = 0;
    }
    this.narrow();
    await this.ask();
  }

  /** The form's values as pairs of field name and value. */
  get filled() {
    return [...this.form.elements].map(({ name, value }) => [name, value]);
  }

  choice(name) {
    return element("label", {}, capital(word(name)), element("select", { name: ATTRIBUTE + name }));
  }

  priceField() {
    return element(
      "label",
      {},
      "Price ",
      element("span", { class: "unit" }, "at launch"),
      element("input", {
        name: "price",
        type: "number",
        min: 0.01,
        max: 1_000_000_000,
        step: "any",
        inputmode: "decimal",
        placeholder: "as its kind",
      }),
    );
  }

  /** The attributes that were chosen, without the one called `but`. */
  chosen(but = null) {
    const fields = [...this.form.elements].filter(({ name, value }) => name.startsWith(ATTRIBUTE) && value !== ANY);
    return Object.fromEntries(
      fields.map(({ name, value }) => [name.slice(ATTRIBUTE.length), value]).filter(([name]) => name !== but),
    );
  }

  fitting(attributes) {
    const asked = Object.entries(attributes);
    return this.kinds.filter((kind) => asked.every(([name, value]) => kind.attributes[name] === value));
  }

  /** Limits each choice to what occurs together with the others; `made`, the field just changed, has priority. */
  narrow(made = null) {
    const name = made?.name?.startsWith(ATTRIBUTE) ? made.name.slice(ATTRIBUTE.length) : null;
    if (name && !this.fitting(this.chosen()).length) {
      for (const field of this.form.elements) {
        if (field.name.startsWith(ATTRIBUTE) && field !== made) field.value = ANY;
      }
    }
    for (const attribute of this.model.attributes) {
      const field = this.form.elements[ATTRIBUTE + attribute];
      const known = new Set(this.fitting(this.chosen(attribute)).map((kind) => kind.attributes[attribute]));
      const values = [...known].filter((value) => value != null).sort();
      const was = field.value;
      field.replaceChildren(
        element("option", { value: ANY }, "any"),
        ...values.map((value) => element("option", { value }, value)),
      );
      field.value = values.includes(was) ? was : ANY;
    }
  }

  async ask() {
    const signal = this.next();
    const { store_id: store, product_id: number, price } = this.form.elements;
    if (!store.value) return this.fail(new Error("The published package says nothing of new products."));
    if (price && !price.validity.valid) return this.fail(new Error(`Price: ${price.validationMessage}`));
    const item = { store_id: store.value, product_id: number.value.trim() || NAME, attributes: this.chosen() };
    if (price?.value) item.price = Number(price.value);
    try {
      const answer = await post("/v1/forecast", { series: [item], quantiles: LEVELS }, signal);
      const { dates, forecast_origin } = answer;
      Object.assign(this, { item, forecast: { ...answer.forecasts[0], dates, forecast_origin } });
      tell(byId("new-problem"), null);
      this.show();
    } catch (error) {
      if (!isAborted(error)) this.fail(error);
    }
  }

  fail(error) {
    tell(byId("new-problem"), error);
    byId("new-result").replaceChildren();
    byId("new-numbers").hidden = true;
  }

  show() {
    const { item, forecast, periods } = this;
    const count = `${forecast.mean.length} ${periods.word}s`;
    const expected = forecast.mean.reduce((sum, value) => sum + value, 0);
    byId("new-result").replaceChildren(
      element("p", { class: "big" }, element("b", {}, units(expected)), ` units in the first ${count}`),
      element("p", { class: "words" }, `${units(expected / forecast.mean.length)} a ${periods.word}. ${this.like}`),
    );
    byId("new-numbers").hidden = false;
    const days = daysOf({ forecast, history: NO_HISTORY, plan: null }, null, 0, periods);
    this.chart.show(days, periods);
    byId("new-tables").replaceChildren(...tablesOf(days, periods));
    byId("new-csv").setAttribute("aria-label", `Download CSV of ${item.product_id} in ${item.store_id}`);
  }

  /** What the numbers are based on, in words. */
  get like() {
    const { item, forecast } = this;
    if (!forecast.cold_start) return `${item.product_id} is in the forecast: these are its own numbers.`;
    const kinds = this.fitting(item.attributes);
    const { attributes, series } = kinds[0]; // the most common one: the service takes it too
    const named = Object.values(attributes).filter((value) => value != null);
    const which = kinds.length === 1 ? "a new product of its kind" : "the most common kind that fits";
    const basis = series == null ? "" : `, of which the forecast has ${whole(series)} series`;
    return `As ${which}${named.length ? `: ${named.join(", ")}` : ""}${basis}.`;
  }
}
