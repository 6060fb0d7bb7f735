/** Finding a product and shop: a combobox over GET /v1/series. */

import { get, isAborted } from "./api.js";
import { byId, debounced, element, latest } from "./dom.js";
import { whole } from "./format.js";
import { kindOf } from "./overview.js";

const PAGE = 10;

export class Search {
  /** `open` is called with the series that was picked. */
  constructor(open) {
    this.input = byId("search");
    this.list = byId("found");
    this.status = byId("found-said");
    this.open = open;
    this.next = latest();
    this.hide();
    const ask = debounced(() => this.ask(), 150);
    this.input.addEventListener("input", ask);
    this.input.addEventListener("focus", () => this.ask());
    this.input.addEventListener("click", () => this.list.hidden && this.ask());
    this.input.addEventListener("blur", () => this.hide());
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("mousedown", (event) => event.preventDefault()); // keeps the focus in the field
    this.list.addEventListener("click", (event) => this.pick(event.target.closest("[role=option]")));
  }

  async ask() {
    const words = this.input.value.trim();
    const found = await this.page(words, 0);
    if (!found || document.activeElement !== this.input) return;
    this.list.replaceChildren();
    this.add(found, words);
    this.list.scrollTop = 0;
  }

  async page(words, offset) {
    try {
      return await get("/v1/series", { search: words, limit: PAGE, offset }, this.next());
    } catch (error) {
      if (!isAborted(error)) this.show(error.message);
      return null;
    }
  }

  add({ series, total, offset }, words) {
    this.list.querySelector(".more")?.remove();
    const options = series.map((item, place) => this.option(item, offset + place));
    this.list.append(...options);
    const left = total - offset - series.length;
    if (left > 0) {
      const more = element(
        "li",
        { id: "found-more", role: "option", class: "more" },
        `Show more (${whole(left)} left)`,
      );
      this.list.append(more);
      more.words = words;
      more.offset = offset + series.length;
    }
    if (offset === 0) this.choose(null);
    else this.choose(options[0]);
    this.show(total ? `${whole(total)} found` : "Nothing found");
  }

  option(item, place) {
    const made = element(
      "li",
      { id: `found-${place}`, role: "option", "aria-selected": "false" },
      element("b", {}, item.product_id),
      element("span", {}, item.store_id),
      element("span", { class: "muted" }, kindOf(item).join(" · ")),
      item.attention?.length ? element("small", {}, "needs attention") : null,
    );
    made.item = item;
    return made;
  }

  show(text) {
    this.status.textContent = text;
    this.list.hidden = false;
    if (!this.list.children.length) this.list.append(element("li", { class: "none", role: "presentation" }, text));
    this.input.setAttribute("aria-expanded", "true");
  }

  hide() {
    this.list.hidden = true;
    this.list.replaceChildren();
    this.input.setAttribute("aria-expanded", "false");
    this.choose(null);
  }

  choose(option) {
    this.list.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
    this.chosen = option;
    if (!option) return this.input.removeAttribute("aria-activedescendant");
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", option.id);
  }

  key(event) {
    const options = [...this.list.querySelectorAll("[role=option]")];
    const at = options.indexOf(this.chosen);
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (this.list.hidden) this.ask();
      else if (event.key === "ArrowDown") this.choose(options[Math.min(at + 1, options.length - 1)] ?? null);
      else this.choose(options[at - 1] ?? null);
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.pick(this.chosen ?? (options.length === 1 ? options[0] : null));
    } else if (event.key === "Escape") {
      if (this.list.hidden) this.input.value = "";
      this.hide();
    }
  }

  async pick(option) {
    if (!option) return;
    if (option.item) {
      this.input.value = "";
      this.hide();
      this.open(option.item);
    } else {
      const found = await this.page(option.words, option.offset);
      if (found) this.add(found, option.words);
    }
  }
}
