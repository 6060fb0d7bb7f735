/** The numbers of a forecast, as tables and as a CSV file. */

import { element } from "./dom.js";
import { csv, download, exact, percent, price, units } from "./format.js";

export const LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/** `days`, as `daysOf` returns them, as a table of the forecast and, if there is a history, one of it. */
export function tablesOf(days, periods) {
  const date = (day) => periods.name(day.date);
  const [ahead, past] = [days.filter((day) => day.ahead), days.filter((day) => !day.ahead).reverse()];
  const priced = days.some((day) => day.price != null);
  const otherwise = days.some((day) => day.whatIf != null);
  const open = (day) => (day.open == null ? null : day.open ? "open" : "closed");
  const forecast = [
    ["Expected", (day) => day.mean, exact],
    ["What if", (day) => day.whatIf, exact],
    ...LEVELS.map((level) => [`${percent(level)} below`, (day) => day.quantiles[level], exact]),
    ["Price", (day) => day.price, price],
    ["Planned", (day) => day.planned.join(", ")],
    ["Shop", open],
  ].filter(([title]) => (title !== "What if" || otherwise) && (title !== "Price" || priced));
  const sold = [
    ["Sold", (day) => day.sold, units],
    ["Price", (day) => day.price, price],
    ["In stock", (day) => day.inStock, percent],
    ["Shop", open],
  ].filter(([title]) => title !== "Price" || priced);
  const tables = [table(`Forecast, units per ${periods.word}`, date, ahead, forecast)];
  if (past.length) tables.push(table(`Sold, units per ${periods.word}, the last first`, date, past, sold));
  return tables;
}

/** Downloads the forecast of `item`, with the numbers as the API returned them. */
export function save(item, forecast, other = null) {
  const header = [
    "store_id",
    "product_id",
    "date",
    "forecast_origin",
    "mean",
    ...LEVELS.map((level) => `q${level * 100}`),
    ...(other ? ["what_if_mean"] : []),
    "model",
    "model_version",
  ];
  const rows = forecast.dates.map((date, row) => [
    item.store_id,
    item.product_id,
    date,
    forecast.forecast_origin,
    forecast.mean[row],
    ...LEVELS.map((level) => forecast.quantiles[level][row]),
    ...(other ? [other.mean[row]] : []),
    forecast.model,
    forecast.model_version,
  ]);
  download(`forecast-${item.store_id}-${item.product_id}-from-${forecast.dates[0]}.csv`, csv(header, rows));
}

/** A table of days; a column has a title, a function of the day, and a format. */
function table(title, date, days, columns) {
  const cell = (value, show) =>
    show
      ? element("td", { class: "number" }, value == null ? show(null) : element("data", { value }, show(value)))
      : element("td", {}, value ?? "");
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": title },
    element(
      "table",
      {},
      element("caption", {}, title),
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          element("th", { scope: "col" }, "Date"),
          ...columns.map(([name, , show]) => element("th", { scope: "col", class: show ? "number" : null }, name)),
        ),
      ),
      element(
        "tbody",
        {},
        ...days.map((day) =>
          element(
            "tr",
            {},
            element("th", { scope: "row" }, element("time", { datetime: day.date }, date(day))),
            ...columns.map(([, value, show]) => cell(value(day), show)),
          ),
        ),
      ),
    ),
  );
}
