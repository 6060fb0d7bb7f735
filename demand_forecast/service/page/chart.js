/** Sales and forecast in one chart, usable by pointer and by keyboard. Drawn by uPlot. */

import { element } from "./dom.js";
import { dayOf, monthOf, percent, price, shortDay, units, word } from "./format.js";

const HEIGHT = { wide: 300, narrow: 260 };
const NARROW = 560;
const [SOLD, Q90, Q70, Q30, Q10, MEAN, WHAT_IF] = [1, 2, 3, 4, 5, 6, 7];
const COLOURS = [
  "muted",
  "line",
  "accent",
  "band-80",
  "band-40",
  "band-edge",
  "what-if",
  "closed",
  "no-stock",
  "planned",
  "sold",
];

/** The history of a series that has none. */
export const NO_HISTORY = { dates: [], units: [], price: [], in_stock: [], open: [] };

/** The periods of a series as rows: what was sold in the last `count`, then what is expected. */
export function daysOf({ history, forecast, plan }, whatIf, count, periods) {
  const { forecast_origin: origin } = forecast;
  const sold = new Map(history.dates.map((date, row) => [date, row]));
  const past = Array.from({ length: count }, (_, back) => periods.ahead(origin, back + 1 - count));
  return [
    ...past.map((date) => pastDay(date, history, sold.get(date))),
    ...forecast.dates.map((date, row) => futureDay(date, row, forecast, plan, whatIf)),
  ];
}

function pastDay(date, history, row) {
  const of = (name) => (row === undefined ? null : history[name][row]);
  return { date, sold: of("units"), price: of("price"), inStock: of("in_stock"), open: of("open") };
}

function futureDay(date, row, forecast, plan, whatIf) {
  const quantiles = Object.fromEntries(
    Object.entries(forecast.quantiles).map(([level, values]) => [level, values[row]]),
  );
  return {
    date,
    ahead: true,
    mean: forecast.mean[row],
    quantiles,
    price: plan?.price[row],
    open: plan?.expected_open[row],
    planned: plan ? plannedOn(row, plan) : [],
    whatIf: whatIf?.mean[row],
    changed: Boolean(whatIf?.changed.includes(date)),
  };
}

/** Promotions and events of a day, in words. */
function plannedOn(row, { numbers, events }) {
  const on = Object.entries(numbers).filter(([name, values]) => name !== "open" && values[row]);
  const held = Object.values(events).map((values) => values[row]);
  return [
    ...on.map(([name, values]) => (values[row] === 1 ? word(name) : `${word(name)} ${units(values[row])}`)),
    ...held.filter(Boolean),
  ];
}

const isClosed = (day) => day.open === false || day.open === 0;
const differs = (day) => day?.whatIf != null && Math.abs(day.whatIf - day.mean) > 1e-6 * Math.abs(day.mean);
const isExceptional = (day) => !day.ahead && day.sold != null && day.inStock == null;
const lacksStock = (day) => !day.ahead && !isClosed(day) && day.inStock != null && day.inStock < 0.995;

/** What is shown of a day, as pairs of term and description. */
function reading(day, period) {
  const between = (low, high) => `${units(day.quantiles[low])} to ${units(day.quantiles[high])}`;
  const pairs = day.ahead
    ? [
        ["expected", `${units(day.mean)} units`],
        [`8 ${period}s in 10`, between("0.1", "0.9")],
        [`4 ${period}s in 10`, between("0.3", "0.7")],
        ["what if", day.whatIf == null ? null : `${units(day.whatIf)} units`],
      ]
    : [["sold", day.sold == null ? "not known" : `${units(day.sold)} units`]];
  return [
    ...pairs,
    ["counts", isExceptional(day) ? "not as demand: an exceptional order" : null],
    ["price", day.price == null ? null : price(day.price)],
    ["planned", day.planned?.length ? day.planned.join(", ") : null],
    ["shop", isClosed(day) ? "closed" : null],
    ["in stock", lacksStock(day) ? `${percent(day.inStock)} of the day` : null],
  ].filter(([, text]) => text != null);
}

export class Chart {
  /** A chart in `host`, an element with role slider: its value is the day that is described. */
  constructor(host, legend) {
    this.host = host;
    this.legend = legend;
    this.tip = element("div", { class: "tip", "aria-hidden": "true", hidden: true });
    this.days = [];
    this.at = 0;
    host.addEventListener("keydown", (event) => this.move(event));
    host.addEventListener("focus", () => this.read(this.at));
    host.addEventListener("blur", () => this.hush());
    host.addEventListener("pointermove", (event) => this.point(event));
    host.addEventListener("pointerdown", (event) => this.point(event));
    host.addEventListener("pointerleave", () => host.matches(":focus-visible") || this.hush());
    new ResizeObserver(() => this.fit()).observe(host);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Shows `days` as `daysOf` gives them; each is one of `periods`. */
  show(days, periods) {
    const known = this.days[this.at]?.date;
    Object.assign(this, { days, periods });
    const same = days.findIndex((day) => day.date === known);
    this.at = same >= 0 ? same : this.firstAhead;
    this.draw();
    this.mark();
    this.tell();
  }

  get firstAhead() {
    return Math.max(
      0,
      this.days.findIndex((day) => day.ahead),
    );
  }

  draw() {
    if (!this.days.length || !this.host.clientWidth) return; // not visible yet
    const style = getComputedStyle(document.documentElement);
    this.colour = Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    this.plot?.destroy();
    this.plot = new uPlot(this.options(), this.data(), this.host);
    this.plot.over.append(this.tip);
  }

  data() {
    const column = (value) =>
      this.days.map((day, at) => (isClosed(day) && !value(day, at) ? null : (value(day, at) ?? null)));
    const level = (name) => column((day) => day.quantiles?.[name]);
    return [
      this.days.map((day) => dayOf(day.date) / 1000),
      column((day) => day.sold),
      level("0.9"),
      level("0.7"),
      level("0.3"),
      level("0.1"),
      column((day) => day.mean),
      column((day, at) => ([-1, 0, 1].some((near) => differs(this.days[at + near])) ? day.whatIf : null)),
    ];
  }

  options() {
    const { colour } = this;
    const [width, narrow] = [this.host.clientWidth, this.host.clientWidth < NARROW];
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const axis = { stroke: colour.muted, font, labelFont: font, ticks: { show: false } };
    const line = (stroke, width, more) => ({ stroke, width, spanGaps: true, points: { show: false }, ...more });
    const short = this.periods.word === "month" ? monthOf : shortDay;
    const series = [];
    series[SOLD] = line(colour.sold, 1.25);
    for (const quantile of [Q70, Q30]) series[quantile] = line(undefined, 0);
    for (const quantile of [Q90, Q10]) series[quantile] = line(colour["band-edge"], 1);
    series[MEAN] = line(colour.accent, 2.25);
    series[WHAT_IF] = line(colour["what-if"], 2.25, { dash: [6, 4] });
    return {
      width,
      height: narrow ? HEIGHT.narrow : HEIGHT.wide,
      padding: [16, narrow ? 16 : 24, 0, 0],
      legend: { show: false },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      scales: { y: { range: (_, __, highest) => [0, highest > 0 ? highest * 1.06 : 1] } },
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 32,
          space: narrow ? 60 : 80,
          values: (_, ticks) => ticks.map((tick) => short(new Date(tick * 1000).toISOString().slice(0, 10))),
          incrs: [7, 14, 28, 56, 91, 182].map((days) => days * 86_400),
        },
        {
          ...axis,
          grid: { stroke: colour.line, width: 1 },
          size: narrow ? 38 : 46,
          label: `units per ${this.periods.word}`,
          labelSize: 20,
          values: (_, ticks) => ticks.map(units),
        },
      ],
      series: [{}, ...series.slice(1)],
      bands: [
        { series: [Q90, Q10], fill: colour["band-80"] },
        { series: [Q70, Q30], fill: colour["band-40"] },
      ],
      hooks: {
        ready: [() => (this.tip.hidden ? this.hush() : this.read(this.at))],
        drawClear: [(plot) => this.drawDays(plot)],
        draw: [(plot) => this.drawOrigin(plot)],
      },
    };
  }

  /** Marks special days behind the lines. */
  drawDays(plot) {
    const { ctx, bbox } = plot;
    const half = (this.periods.days * 86_400) / 2;
    const mark = 5 * devicePixelRatio;
    ctx.save();
    for (const day of this.days) {
      const x = dayOf(day.date) / 1000;
      const left = Math.round(Math.max(bbox.left, plot.valToPos(x - half, "x", true)));
      const right = Math.round(Math.min(bbox.left + bbox.width, plot.valToPos(x + half, "x", true)));
      const fill = (name, top, height) => {
        ctx.fillStyle = this.colour[name];
        ctx.fillRect(left, top, right - left, height);
      };
      if (isClosed(day)) fill("closed", bbox.top, bbox.height);
      if (lacksStock(day)) fill("no-stock", bbox.top + bbox.height - mark, mark);
      if (day.planned?.length) fill("planned", bbox.top + bbox.height - mark, mark);
      if (day.changed) fill("what-if", bbox.top - mark, mark * 0.7);
    }
    ctx.restore();
  }

  /** The line between sales and forecast. */
  drawOrigin(plot) {
    const first = this.days[this.firstAhead];
    if (!first?.ahead) return;
    const { ctx, bbox } = plot;
    const x = Math.round(plot.valToPos(dayOf(first.date) / 1000 - (this.periods.days * 86_400) / 2, "x", true));
    ctx.save();
    ctx.strokeStyle = this.colour.muted;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.restore();
  }

  fit() {
    const width = this.host.clientWidth;
    if (!width || width === this.plot?.width) return;
    if (this.plot && width < NARROW === this.plot.width < NARROW)
      this.plot.setSize({ width, height: this.plot.height });
    else this.draw();
  }

  move(event) {
    const last = this.days.length - 1;
    const week = this.periods.word === "day" ? 7 : 4;
    const to = {
      ArrowLeft: this.at - 1,
      ArrowDown: this.at - 1,
      ArrowRight: this.at + 1,
      ArrowUp: this.at + 1,
      PageDown: this.at - week,
      PageUp: this.at + week,
      Home: 0,
      End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.read(Math.min(last, Math.max(0, to)));
  }

  point(event) {
    if (!this.plot) return;
    const box = this.plot.over.getBoundingClientRect();
    const x = event.clientX - box.left;
    if (x < -8 || x > box.width + 8) return this.hush();
    this.read(this.plot.posToIdx(x));
  }

  /** Describes one day: in the tip, and as the slider's value for screen readers. */
  read(at) {
    const day = this.days[at];
    if (!day || !this.plot) return;
    this.at = at;
    this.tell();
    const left = this.plot.valToPos(dayOf(day.date) / 1000, "x");
    this.plot.setCursor({ left, top: 0 }, false);
    const lines = reading(day, this.periods.word).map(([term, text]) =>
      element("div", {}, element("span", {}, term), element("b", {}, text)),
    );
    this.tip.replaceChildren(element("p", {}, this.dated(day)), ...lines);
    this.tip.hidden = false;
    const width = this.plot.over.clientWidth;
    const right = left + this.tip.offsetWidth + 14 > width;
    this.tip.style.left = `${Math.max(0, right ? left - this.tip.offsetWidth - 14 : left + 14)}px`;
  }

  hush() {
    this.tip.hidden = true;
    this.plot?.setCursor({ left: -10, top: -10 }, false);
  }

  dated(day) {
    return this.periods.name(day.date);
  }

  tell() {
    const day = this.days[this.at];
    this.host.setAttribute("aria-valuemax", this.days.length - 1);
    this.host.setAttribute("aria-valuenow", this.at);
    const parts = reading(day, this.periods.word).map(([term, text]) => `${term} ${text}`);
    this.host.setAttribute("aria-valuetext", `${this.dated(day)}: ${parts.join(", ")}`);
  }

  /** The legend, with the lines that are drawn. */
  mark() {
    const has = (test) => this.days.some(test);
    const marks = [
      ["sold", "sold", has((day) => !day.ahead && day.sold != null)],
      ["mean", "expected", true],
      ["band-40", `4 ${this.periods.word}s in 10 (30–70 %)`, true],
      ["band-80", `8 ${this.periods.word}s in 10 (10–90 %)`, true],
      ["what-if", "what if", has((day) => day.whatIf != null)],
      ["closed", "closed", has(isClosed)],
      ["no-stock", "stock ran short", has(lacksStock)],
      ["planned", "promotion or event planned", has((day) => day.planned?.length)],
    ];
    const shown = marks.filter(([, , there]) => there);
    this.legend.replaceChildren(
      ...shown.map(([name, text]) => element("li", {}, element("span", { class: `mark ${name}` }), text)),
    );
  }
}
