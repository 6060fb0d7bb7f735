/** The view of one series: figures, chart, tables and file, with what-if and order. */

import { get, post } from "./api.js";
import { Chart, daysOf, NO_HISTORY } from "./chart.js";
import { byId, chosen, describe, element, latest, tell } from "./dom.js";
import { percent, signedPercent, times, units } from "./format.js";
import { LEVELS, save, tablesOf } from "./numbers.js";
import { kindOf } from "./overview.js";
import { Periods } from "./periods.js";
import { Reorder } from "./reorder.js";
import { WhatIf } from "./what_if.js";

export class Series {
  /** `renew` is called when an answer belongs to another forecast than the one shown. */
  constructor(renew) {
    this.renew = renew;
    this.next = latest();
    this.chart = new Chart(byId("plot"), byId("legend"));
    this.reorder = new Reorder();
    this.whatIf = new WhatIf((answer) => this.compare(answer));
    byId("span").addEventListener("change", () => this.draw());
    byId("series-csv").addEventListener("click", () => this.save());
  }

  /** Whether the reader changed something that a new forecast would discard. */
  get inUse() {
    return Boolean(this.other) || !byId("reorder-reset").disabled;
  }

  /** Loads and shows a series. Throws Problem if it is not in the forecast. */
  async load(item, model) {
    const [periods, signal] = [new Periods(model), this.next()];
    const [forecast, history, plan, page] = await Promise.all([
      post("/v1/forecast", { series: [item], quantiles: LEVELS }, signal),
      optional(get("/v1/history", { ...item, periods: periods.spans.at(-1)[1] }, signal)),
      optional(get("/v1/plan", item, signal)),
      get("/v1/series", { ...item, limit: 1 }, signal),
    ]);
    const made = { ...forecast.forecasts[0], dates: forecast.dates, forecast_origin: forecast.forecast_origin };
    Object.assign(this, { item, model, periods, overview: page.series[0] ?? item, other: null });
    this.data = { forecast: made, history: history ?? { ...NO_HISTORY, missing: true }, plan };
    this.offerSpans();
    this.describe();
    this.whatIf.show(item, this.data, model);
    this.reorder.show(item, this.overview);
  }

  /** The choice of how much history is shown, as long as the periods are the same as before. */
  offerSpans() {
    const place = byId("span");
    if (place.dataset.period === this.periods.word) return;
    place.dataset.period = this.periods.word;
    const usual = matchMedia("(max-width: 720px)").matches ? 0 : 1;
    const choice = ([text, value], at) => {
      const input = element("input", { type: "radio", name: "span", value, checked: at === usual });
      return element("label", {}, input, element("span", {}, text));
    };
    place.replaceChildren(place.querySelector("legend"), ...this.periods.spans.map(choice));
  }

  describe() {
    const { item, overview, data } = this;
    byId("series-title").textContent = `${item.product_id} · ${item.store_id}`;
    byId("series-kind").textContent = kindOf(overview).join(" · ");
    byId("series-attention").replaceChildren(...(overview.attention ?? []).map((text) => element("li", {}, text)));
    tell(byId("chart-note"), data.history.missing ? new Error("What was sold is not in the published package.") : null);
    describe(byId("figures"), this.figures());
  }

  figures() {
    const { overview } = this;
    const { word: period } = this.periods;
    const { forecast, history } = this.data;
    const horizon = forecast.mean.length;
    const expected = total(forecast.mean);
    const before = total(history.units.slice(-horizon).map((value) => value ?? 0));
    const periods = `${horizon} ${period}${horizon === 1 ? "" : "s"}`;
    const stock =
      overview.stock_known === false ? "not known" : overview.on_hand == null ? null : `${units(overview.on_hand)}`;
    const coming = overview.on_order > 0 ? ` + ${units(overview.on_order)} on order` : "";
    const usual = overview.error_ratio == null ? "" : `, ${times(overview.error_ratio)} the usual`;
    return [
      [`Expected, next ${periods}`, figure(units(expected), `units, ${units(expected / horizon)} a ${period}`)],
      [
        `Sold, last ${periods}`,
        history.units.length
          ? figure(units(before), before > 0 ? `units, expected ${signedPercent(expected / before - 1)}` : "units")
          : null,
      ],
      [
        "On hand",
        stock == null
          ? null
          : figure(
              stock,
              overview.stock_known === false ? "no stock report" : `units${coming}, ${this.lasts(overview.on_hand)}`,
            ),
      ],
      ["Stock-out risk", known(overview.stock_out_risk, (value) => figure(percent(value), "until an order arrives"))],
      ["Error, last 4 weeks", known(overview.wape, (value) => figure(percent(value), `of units sold${usual}`))],
      ["Bias, last 4 weeks", known(overview.bias, (value) => figure(signedPercent(value), "forecast to sold"))],
    ];
  }

  /** How long a stock lasts by the forecast, in words. */
  lasts(stock) {
    if (stock <= 0) return "out of stock";
    const { mean } = this.data.forecast;
    const enough = mean.findIndex((_, row) => total(mean.slice(0, row + 1)) > stock);
    if (enough === 0) return `less than a ${this.periods.word}`;
    return enough < 0
      ? `more than ${mean.length} ${this.periods.word}s`
      : `about ${enough} ${this.periods.word}${enough === 1 ? "" : "s"}`;
  }

  compare(answer) {
    const { forecast } = this.data;
    const stale = answer && ["forecast_origin", "model_version"].some((name) => answer[name] !== forecast[name]);
    const other = stale ? null : answer;
    if (other !== this.other) this.reorder.under(other ? [other.asked] : []);
    this.other = other;
    this.draw();
    if (stale) this.renew();
  }

  draw() {
    const count = this.data.history.missing ? 0 : Number(chosen(byId("span")));
    const days = daysOf(this.data, this.other, count, this.periods);
    this.chart.show(days, this.periods);
    byId("tables").replaceChildren(...tablesOf(days, this.periods));
  }

  save() {
    save(this.item, this.data.forecast, this.other);
  }
}

const total = (values) => values.reduce((sum, value) => sum + value, 0);
const known = (value, show) => (value == null ? null : show(value));

function figure(number, text) {
  const place = document.createDocumentFragment();
  place.append(element("b", {}, number), " ", element("span", {}, text));
  return place;
}

/** The answer, or null if the published package lacks the table it needs. */
async function optional(answer) {
  try {
    return await answer;
  } catch (error) {
    if (error.status === 503) return null;
    throw error;
  }
}
