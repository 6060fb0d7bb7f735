/** What to order now, by POST /v1/reorder, for the stock and the policy in the form. */

import { columnsOf, isAborted, post } from "./api.js";
import { byId, debounced, element, latest, tell } from "./dom.js";
import { inUnit, whole } from "./format.js";

const PLANNED = { on_hand: "on_hand", on_order: "on_order", lead_time: "lead_time", review_period: "review_period" };

export class Reorder {
  constructor() {
    this.form = byId("reorder-form");
    this.next = latest();
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", () => byId("reorder-reset").toggleAttribute("disabled", false));
    this.form.addEventListener(
      "input",
      debounced(() => this.ask(), 250),
    );
    byId("reorder-reset").addEventListener("click", () => this.show(this.item, this.overview, this.changes));
  }

  /** Starts with a series as planned, apart from `changes`; the rest is filled in from the service's answer. */
  async show(item, overview, changes = []) {
    Object.assign(this, { item, overview, changes });
    this.form.reset();
    byId("reorder-reset").disabled = true;
    const level = overview.service_level_asked;
    if (level != null) this.form.elements.service_level.value = Number((level * 100).toFixed(1));
    await this.ask();
  }

  /** Orders for the demand under `changes` of the plan. */
  under(changes) {
    this.changes = changes;
    this.ask();
  }

  /** Fills empty fields with the values that the order used, except the field that has the focus. */
  fill(order) {
    for (const [name, planned] of Object.entries(PLANNED)) {
      const field = this.form.elements[name];
      const known = order.stock_known || !["on_hand", "on_order"].includes(name);
      const open = field.value === "" && field !== document.activeElement;
      if (open && known && order[planned] != null) field.value = Number(order[planned].toFixed(3));
    }
  }

  /** The form's values; empty fields are left out, and so are as planned. */
  get given() {
    const fields = [...this.form.elements].filter((field) => field.name && field.value !== "");
    return Object.fromEntries(
      fields.map(({ name, value }) => [name, name === "service_level" ? Number(value) / 100 : Number(value)]),
    );
  }

  async ask() {
    const signal = this.next();
    const wrong = [...this.form.elements].find((field) => field.name && !field.validity.valid);
    if (wrong) return this.fail(new Error(`${wrong.labels[0].firstChild.data.trim()}: ${wrong.validationMessage}`));
    try {
      const given = { store_id: this.item.store_id, product_id: this.item.product_id, ...this.given };
      const { orders } = await post("/v1/reorder", { series: [given], changes: this.changes }, signal);
      tell(byId("reorder-problem"), null);
      this.fill(orders[0]);
      this.answer(orders[0], await columnsOf("Order"));
    } catch (error) {
      if (!isAborted(error)) this.fail(error);
    }
  }

  fail(error) {
    tell(byId("reorder-problem"), error);
    byId("reorder-result").replaceChildren();
    byId("reorder-parts").hidden = true;
  }

  answer(order, columns) {
    byId("reorder-result").replaceChildren(
      element("p", { class: "big" }, element("b", {}, whole(order.order_quantity)), " units to order"),
      element("p", { class: "words" }, order.why),
    );
    const known = ({ name }) => order.stock_known || !["on_hand", "on_order"].includes(name);
    const value = (column) => (known(column) ? inUnit[column.unit](order[column.name], 1) : "not known");
    const parts = columns.filter(({ name }) => name !== "order_quantity"); // it is the headline
    const rows = parts.map((column) =>
      element(
        "tr",
        { title: column.meaning },
        element("th", { scope: "row" }, column.label),
        element("td", { class: "number" }, value(column)),
      ),
    );
    byId("reorder-parts").tBodies[0].replaceChildren(...rows);
    byId("reorder-parts").hidden = false;
  }
}
