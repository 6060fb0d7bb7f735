/** The series as a table: those that need attention, the most urgent first, or all. */

import { get, isAborted } from "./api.js";
import { byId, chosen, element, latest } from "./dom.js";
import { csv, download, percent, times, units, whole } from "./format.js";

const PAGE = 50;
const ALL_AT_ONCE = 500;
const NUMBERS = [
  ["At stake", "urgency", units, "units per period that the reasons put at stake"],
  ["Stock-out risk", "stock_out_risk", percent, "probability that stock runs out before an order placed now arrives"],
  ["Error", "wape", percent, "sum of errors to units sold, last 4 weeks"],
  ["Of usual", "error_ratio", times, "the error to what is usual for such products"],
  ["Drift", "drift_ratio", times, "sales of the last 4 weeks to those before, after what all products have in common"],
  ["Expected", "expected_total", units, "units in all days of the forecast"],
  ["On hand", "on_hand", units, "units in stock"],
  ["To order", "order_quantity", units, "units, by the nightly plan"],
];
const FILE = ["store_id", "product_id", "attention", ...NUMBERS.map(([, name]) => name)];

/** The address of a series on this page. */
export const linkTo = (item) => `#${new URLSearchParams({ store: item.store_id, product: item.product_id })}`;

export class Overview {
  constructor() {
    this.list = byId("list");
    this.next = latest();
    this.items = [];
    this.origin = null;
    byId("scope").addEventListener("change", () => this.load());
    byId("reason").addEventListener("change", () => this.load());
    byId("list-more").addEventListener("click", () => this.more());
    byId("overview-csv").addEventListener("click", () => this.save());
    this.list.tBodies[0].addEventListener("click", (event) => {
      if (!event.target.closest("a")) event.target.closest("tr")?.querySelector("a")?.click();
    });
  }

  get asked() {
    const attention = chosen(byId("scope")) === "attention";
    return { attention: attention || null, reason: attention ? byId("reason").value : null };
  }

  /** Fills the table from its beginning. Raises Problem. */
  async load() {
    this.items = [];
    byId("reason-label").hidden = !this.asked.attention;
    byId("overview-title").textContent = this.asked.attention ? "Needs attention" : "All series";
    await this.more();
  }

  async more() {
    const button = byId("list-more");
    button.disabled = true;
    try {
      const page = await get("/v1/series", { ...this.asked, limit: PAGE, offset: this.items.length }, this.next());
      if (page.forecast_origin !== this.origin) this.items = page.offset ? [] : this.items;
      this.origin = page.forecast_origin;
      this.items = [...this.items, ...page.series];
      this.total = page.total;
      this.show();
    } catch (error) {
      if (!isAborted(error)) byId("overview-said").textContent = `${error.title}: ${error.message}`;
    } finally {
      button.disabled = false;
    }
  }

  show() {
    const { items, total, asked } = this;
    const columns = NUMBERS.filter(([, name]) => items.some((item) => item[name] != null));
    const reasons = items.some((item) => item.attention?.length);
    this.list.tHead.rows[0].replaceChildren(
      element("th", { scope: "col" }, "Product"),
      element("th", { scope: "col" }, "Shop"),
      ...(reasons ? [element("th", { scope: "col" }, "Why")] : []),
      ...columns.map(([title, , , meaning]) => element("th", { scope: "col", class: "number", title: meaning }, title)),
    );
    this.list.tBodies[0].replaceChildren(...items.map((item) => this.row(item, columns, reasons)));
    this.list.hidden = !items.length;
    byId("list-more").hidden = items.length >= total;
    byId("overview-csv").disabled = !total;
    byId("list-empty").hidden = total > 0;
    byId("list-empty").textContent = asked.attention
      ? asked.reason ? "No series needs attention for this reason." : "No series needs attention. All series are under “All series”."
      : "The forecast holds no series.";
    const shown = items.length < total ? `${whole(items.length)} of ${whole(total)} series shown` : `${whole(total)} series`;
    byId("overview-said").textContent = asked.attention ? `${shown}, the most urgent first` : shown;
  }

  row(item, columns, reasons) {
    const why = (item.attention ?? []).map((text) => element("span", { class: "why" }, text));
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, element("a", { href: linkTo(item) }, item.product_id)),
      element("td", { "data-title": "Shop" }, item.store_id),
      reasons ? element("td", { class: "reasons", "data-title": "Why" }, ...why) : null,
      ...columns.map(([title, name, show]) =>
        element("td", { class: "number", "data-title": title }, show(item[name])),
      ),
    );
  }

  /** All rows of what is asked, not only those shown, as a file. */
  async save() {
    const button = byId("overview-csv");
    button.disabled = true;
    try {
      const rows = [];
      let page;
      do {
        page = await get("/v1/series", { ...this.asked, limit: ALL_AT_ONCE, offset: rows.length });
        rows.push(...page.series);
      } while (page.series.length && rows.length < page.total);
      const value = (item, name) => (name === "attention" ? (item.attention ?? []).join("; ") : item[name]);
      const what = this.asked.attention ? "attention" : "series";
      const header = ["forecast_origin", ...FILE];
      const lines = rows.map((item) => [page.forecast_origin, ...FILE.map((name) => value(item, name))]);
      download(`${what}-${page.forecast_origin}.csv`, csv(header, lines));
    } catch (error) {
      byId("overview-said").textContent = `${error.title}: ${error.message}`;
    } finally {
      button.disabled = false;
    }
  }
}
