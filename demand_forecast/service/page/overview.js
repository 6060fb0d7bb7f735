/** The table of series: all, or those that need attention with the most urgent first. */

import { columnsOf, get, isAborted } from "./api.js";
import { byId, chosen, describe, element, latest } from "./dom.js";
import { csv, download, inUnit, whole } from "./format.js";

const PAGE = 50;
const ALL_AT_ONCE = 500;
const NUMBERS = [
  ...["urgency", "stock_out_risk", "wape", "error_ratio", "drift_ratio"],
  ...["expected_total", "on_hand", "order_quantity"],
];
const KNOWN = new Set(["store_id", "product_id", "forecast_origin", "model", "model_version"]);
const ASIDE = new Set(["error_ratio", "drift_ratio", "expected_total"]); // hidden on narrow screens
const FILE = ["store_id", "product_id", "attention", ...NUMBERS];

/** The address of a series on this page. */
export const linkTo = (item) => `#${new URLSearchParams({ store: item.store_id, product: item.product_id })}`;

/** The attributes of a product and its shop: the text columns of their row. */
export function kindOf(item) {
  return Object.entries(item)
    .filter(([name, value]) => typeof value === "string" && !KNOWN.has(name))
    .map(([, value]) => value);
}

export class Overview {
  constructor() {
    this.list = byId("list");
    this.next = latest();
    this.items = [];
    const told = (work) => () => work().catch((error) => this.fail(error));
    byId("scope").addEventListener(
      "change",
      told(() => this.load()),
    );
    byId("reason").addEventListener(
      "change",
      told(() => this.load()),
    );
    byId("list-more").addEventListener(
      "click",
      told(() => this.more()),
    );
    byId("overview-csv").addEventListener("click", () => this.save());
    this.list.tBodies[0].addEventListener("click", (event) => {
      if (!event.target.closest("a")) event.target.closest("tr")?.querySelector("a")?.click();
    });
  }

  get asked() {
    const attention = chosen(byId("scope")) === "attention";
    return { attention: attention || null, reason: attention ? byId("reason").value : null };
  }

  /** Loads the first page of the table. Throws Problem. */
  async load() {
    this.items = [];
    byId("reason-label").hidden = !this.asked.attention;
    byId("overview-title").textContent = this.asked.attention ? "Needs attention" : "All series";
    await this.more();
  }

  async more() {
    const page = await get("/v1/series", { ...this.asked, limit: PAGE, offset: this.items.length }, this.next());
    this.items = [...this.items, ...page.series];
    this.total = page.total;
    const columns = Object.fromEntries((await columnsOf("SeriesItem")).map((column) => [column.name, column]));
    this.show(NUMBERS.map((name) => columns[name]));
  }

  fail(error) {
    if (!isAborted(error)) byId("overview-said").textContent = `${error.title}: ${error.message}`;
  }

  show(numbers) {
    const { items, total, asked } = this;
    const columns = numbers.filter(({ name }) => items.some((item) => item[name] != null));
    const reasons = items.some((item) => item.attention?.length);
    this.list.tHead.rows[0].replaceChildren(
      element("th", { scope: "col" }, "Product"),
      element("th", { scope: "col" }, "Shop"),
      ...(reasons ? [element("th", { scope: "col" }, "Why")] : []),
      ...columns.map(({ label }) => element("th", { scope: "col", class: "number" }, label)),
    );
    this.list.tBodies[0].replaceChildren(...items.map((item) => this.row(item, columns, reasons)));
    this.list.hidden = !items.length;
    byId("meanings").hidden = !columns.length;
    describe(
      byId("meanings-list"),
      columns.map(({ label, meaning }) => [label, meaning]),
    );
    byId("list-more").hidden = items.length >= total;
    byId("overview-csv").disabled = !total;
    byId("list-empty").hidden = total > 0;
    byId("list-empty").textContent = asked.attention
      ? asked.reason
        ? "No series needs attention for this reason."
        : "No series needs attention. All series are under “All series”."
      : "The forecast holds no series.";
    const shown =
      items.length < total ? `${whole(items.length)} of ${whole(total)} series shown` : `${whole(total)} series`;
    byId("overview-said").textContent = asked.attention ? `${shown}, the most urgent first` : shown;
  }

  row(item, columns, reasons) {
    const why = (item.attention ?? []).map((text) => element("span", { class: "why" }, text));
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, element("a", { href: linkTo(item) }, item.product_id)),
      element("td", { class: "shop" }, item.store_id),
      reasons ? element("td", { class: "reasons" }, ...why) : null,
      ...columns.map(({ name, label, unit }) =>
        element(
          "td",
          { class: ASIDE.has(name) ? "number aside" : "number", "data-title": label },
          inUnit[unit](item[name]),
        ),
      ),
    );
  }

  /** Downloads all rows of the current selection, not only those shown. */
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
      this.fail(error);
    } finally {
      button.disabled = false;
    }
  }
}
