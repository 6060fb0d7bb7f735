/** The what-if form: another price, promotion or event than planned, answered by POST /v1/what_if. */

import { isAborted, post } from "./api.js";
import { byId, capital, debounced, element, latest, tell } from "./dom.js";
import { daysBetween, price, shortDay, signedPercent, signedUnits, units, whole, word } from "./format.js";
import { Periods } from "./periods.js";

const SPAN = 7; // days that a change lasts by default
const AROUND = 0.5; // the slider's range, as a share of the price on both sides
const OPEN = "open";
const AS_PLANNED = "";
const COVARIATE = "covariate:"; // prefix of their fields' names

const sum = (values) => values.reduce((total, value) => total + value, 0);

export class WhatIf {
  /** `changed` is called with the answer, or with null if nothing is changed. */
  constructor(changed) {
    this.form = byId("what-if-form");
    this.changed = changed;
    this.next = latest();
    const ask = debounced(() => this.ask(), 250);
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", (event) => {
      this.agree(event.target);
      byId("what-if-reset").disabled = false;
      ask();
    });
    byId("what-if-reset").addEventListener("click", () => this.show(this.item, this.series, this.model));
  }

  /** Starts with a series as planned. `series`: its forecast, plan and history; `model`: of GET /v1/model. */
  show(item, series, model) {
    this.next();
    Object.assign(this, { item, series, model, periods: new Periods(model) });
    const { dates } = series.forecast;
    const { periods } = this;
    const [begin, end] = [periods.first(dates[0]), periods.last(dates.at(-1))];
    const last = dates[Math.min(dates.length, periods.word === "day" ? SPAN : 1) - 1];
    const day = (name, text, value) =>
      element(
        "label",
        {},
        text,
        element("input", { type: "date", name, min: begin, max: end, value, required: true }),
      );
    this.form.replaceChildren(day("first", "From", begin), day("last", "To", periods.last(last)));
    this.form.append(...this.priceFields(), ...this.covariateFields());
    byId("what-if-reset").disabled = true;
    tell(byId("what-if-problem"), null);
    this.say(null);
    this.changed(null);
  }

  priceFields() {
    if (!this.model.planned.price) {
      const reason = "The model knows no planned prices, so it cannot say what another price would do.";
      return [element("p", { class: "muted small full" }, reason)];
    }
    const now = this.plannedPrice;
    const number = {
      type: "number",
      name: "price",
      min: 0.01,
      max: 1_000_000_000,
      step: "any",
      inputmode: "decimal",
      placeholder: "as planned",
    };
    const hint = element("span", { class: "unit", id: "price-planned" }, this.pricesPlanned);
    const label = element("label", {}, "Price ", hint, element("input", number));
    if (now == null) return [label];
    const step = Math.max(0.01, 10 ** Math.floor(Math.log10(now) - 2));
    const [min, max] = [now * (1 - AROUND), now * (1 + AROUND)].map((edge) =>
      Number((Math.round(edge / step) * step).toFixed(2)),
    );
    const range = { type: "range", name: "price_slider", step, min, max, value: now, "aria-label": "Price, by slider" };
    const slider = element(
      "label",
      { class: "slider" },
      element("span", { id: "price-change" }, "as planned"),
      element("input", range),
    );
    return [element("div", { class: "full price" }, label, slider)];
  }

  covariateFields() {
    const { numbers, binary, events } = this.model.planned;
    const choice = (name, title, options) =>
      element(
        "label",
        {},
        title,
        element(
          "select",
          { name: COVARIATE + name },
          ...options.map(([value, text]) => element("option", { value }, text)),
        ),
      );
    const yesNo = (name) =>
      name === OPEN
        ? choice(name, "Shop", [
            [AS_PLANNED, "as planned"],
            [1, "open"],
            [0, "closed"],
          ])
        : choice(name, capital(word(name)), [
            [AS_PLANNED, "as planned"],
            [1, "yes"],
            [0, "no"],
          ]);
    const event = ([name, known]) =>
      choice(name, capital(word(name)), [
        [AS_PLANNED, "as planned"],
        [JSON.stringify(null), "none"],
        ...known.map((text) => [JSON.stringify(text), text]),
      ]);
    const free = (name) =>
      element(
        "label",
        {},
        capital(word(name)),
        element("input", { type: "number", name: COVARIATE + name, step: "any", placeholder: "as planned" }),
      );
    const switches = numbers.filter((name) => binary.includes(name) && name !== OPEN);
    const others = numbers.filter((name) => !binary.includes(name));
    const open = numbers.includes(OPEN) ? [yesNo(OPEN)] : [];
    return [...switches.map(yesNo), ...Object.entries(events).map(event), ...others.map(free), ...open];
  }

  /** The prices planned for the chosen days. */
  get planned() {
    const { plan } = this.series;
    return plan ? plan.price.filter((value, row) => value != null && this.covers(plan.dates[row])) : [];
  }

  /** The mean price planned for these days; if there is none, the last price of the history; else null. */
  get plannedPrice() {
    const { planned } = this;
    if (planned.length) return sum(planned) / planned.length;
    return this.series.history.price.findLast((value) => value != null) ?? null;
  }

  get pricesPlanned() {
    const [low, high] = [Math.min(...this.planned), Math.max(...this.planned)];
    if (!this.planned.length) return "none is planned";
    return low === high ? `planned: ${price(low)}` : `planned: ${price(low)} to ${price(high)}`;
  }

  covers(date) {
    const { first, last } = this.form.elements;
    return this.periods.last(date) >= first.value && this.periods.first(date) <= last.value;
  }

  /** Keeps slider and number equal, and the last day not before the first. */
  agree(field) {
    const { first, last, price: number, price_slider: slider } = this.form.elements;
    if (field === first && last.value < first.value) last.value = first.value;
    if (field === last && last.value && last.value < first.value) first.value = last.value;
    if (number) byId("price-planned").textContent = this.pricesPlanned;
    if (!slider) return;
    if (field === slider) number.value = slider.value;
    else slider.value = number.value === "" ? this.plannedPrice : number.value;
    const change = Number(number.value) / this.plannedPrice - 1;
    const text = number.value === "" ? "as planned" : `${signedPercent(change)} to the planned price`;
    byId("price-change").textContent = text;
    if (number.validity.valid)
      slider.setAttribute("aria-valuetext", `${number.value || price(this.plannedPrice)}, ${text}`);
  }

  /** The change that the form describes; null if all is as planned. */
  get change() {
    const { first, last, price: number } = this.form.elements;
    const change = { first: first.value, last: last.value, covariates: {} };
    if (number?.value) change.price = Number(number.value);
    for (const { name, value, tagName } of this.form.elements) {
      if (!name.startsWith(COVARIATE) || value === AS_PLANNED) continue;
      change.covariates[name.slice(COVARIATE.length)] = tagName === "SELECT" ? JSON.parse(value) : Number(value);
    }
    return change.price === undefined && !Object.keys(change.covariates).length ? null : change;
  }

  async ask() {
    const signal = this.next();
    const wrong = [...this.form.elements].find((field) => !field.validity.valid);
    if (wrong) return this.fail(new Error(`${wrong.labels[0].firstChild.data.trim()}: ${wrong.validationMessage}`));
    const { change, item } = this;
    if (!change) {
      tell(byId("what-if-problem"), null);
      this.say(null);
      return this.changed(null);
    }
    try {
      const series = [{ store_id: item.store_id, product_id: item.product_id }];
      const answer = await post("/v1/what_if", { series, changes: [change], quantiles: [] }, signal);
      tell(byId("what-if-problem"), null);
      this.say(answer, change);
      const { mean, model_version } = answer.forecasts[0];
      const changed = answer.dates.filter((date) => this.covers(date));
      this.changed({ changed, asked: change, mean, model_version, forecast_origin: answer.forecast_origin });
    } catch (error) {
      if (!isAborted(error)) this.fail(error);
    }
  }

  fail(error) {
    tell(byId("what-if-problem"), error);
    byId("what-if-result").replaceChildren();
    this.changed(null);
  }

  /** Shows the difference in words: over the days of the change, then over all. */
  say(answer, change) {
    const place = byId("what-if-result");
    if (!answer) {
      const hint =
        "Choose days, then another price, promotion or event: the chart shows what to expect then, and here is how much.";
      return place.replaceChildren(element("p", { class: "muted" }, hint));
    }
    const { mean, published_mean: before } = answer.forecasts[0];
    const rows = answer.dates.map((_, row) => row);
    const within = rows.filter((row) => this.covers(answer.dates[row]));
    const [then, now] = [mean, before].map((values) => sum(within.map((row) => values[row])));
    const days = daysBetween(change.first, change.last) + 1;
    const span =
      days === 1
        ? `on ${shortDay(change.first)}`
        : `in the ${days} days from ${shortDay(change.first)} to ${shortDay(change.last)}`;
    const all = `All ${whole(rows.length)} ${this.periods.word}s: ${compared(sum(mean), sum(before))}.`;
    const revenue = this.revenue(within, change, mean, before);
    place.replaceChildren(
      element("p", { class: "big" }, element("b", {}, signedUnits(then - now)), " units"),
      element("p", { class: "words" }, `${capital(compared(then, now))} ${span}.`),
      element("p", { class: "words" }, all),
      ...(revenue ? [element("p", { class: "words" }, revenue)] : []),
      element("p", { class: "muted small" }, "The order counts with it."),
    );
  }

  /** The takings in the days of the change, if all their prices are known. */
  revenue(within, change, mean, before) {
    const prices = within.map((row) => this.series.plan?.price[row]);
    if (!prices.length || prices.some((value) => value == null)) return null;
    const now = sum(within.map((row, at) => before[row] * prices[at]));
    const then = sum(within.map((row, at) => mean[row] * (change.price ?? prices[at])));
    const share = now > 0 ? ` (${signedPercent(then / now - 1)})` : "";
    return `Takings in these days, at these prices: ${whole(then)} instead of ${whole(now)}${share}.`;
  }
}

function compared(then, now) {
  const share = now > 0 ? ` (${signedPercent(then / now - 1)})` : "";
  return `${units(then)} units instead of ${units(now)}${share}`;
}
