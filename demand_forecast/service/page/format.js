/** Numbers in the reader's locale, dates in English, and CSV. */

const DAY = 86_400_000;
const formats = new Map();

function formatted(value, options) {
  const key = JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Intl.NumberFormat(undefined, options));
  return formats.get(key).format(value);
}

export const UNKNOWN = "–";

const known = (value, show) => (value == null || !Number.isFinite(value) ? UNKNOWN : show(value));

/** Units, with as many decimals as their size deserves. */
export const units = (value) =>
  known(value, () => {
    const size = Math.abs(value);
    const digits = size < 1 ? 2 : size < 20 ? 1 : 0;
    return formatted(value, { maximumFractionDigits: Number.isInteger(value) ? 0 : digits });
  });

export const whole = (value) => known(value, () => formatted(value, { maximumFractionDigits: 0 }));
export const exact = (value) =>
  known(value, () => formatted(value, { minimumFractionDigits: 2, maximumFractionDigits: 2 }));
export const price = exact;
export const percent = (value, digits = 0) =>
  known(value, () => formatted(value, { style: "percent", maximumFractionDigits: digits }));
export const times = (value) =>
  known(value, () => `${formatted(value, { maximumFractionDigits: 1, minimumFractionDigits: 1 })} ×`);
/** How a number is written, by the unit that the service declares for its column. */
export const inUnit = { units, share: percent, times, days: whole };
export const signedPercent = (value) =>
  known(value, () => formatted(value, { style: "percent", maximumFractionDigits: 0, signDisplay: "exceptZero" }));
export const signedUnits = (value) =>
  known(value, () =>
    formatted(value, { maximumFractionDigits: Math.abs(value) < 10 ? 1 : 0, signDisplay: "exceptZero" }),
  );

/** Milliseconds of a day as the API writes it (`2024-03-27`), in UTC. */
export const dayOf = (text) => Date.parse(`${text}T00:00:00Z`);
export const textOf = (day) => new Date(day).toISOString().slice(0, 10);
export const plusDays = (text, days) => textOf(dayOf(text) + days * DAY);
export const daysBetween = (first, last) => Math.round((dayOf(last) - dayOf(first)) / DAY);

const shownDay = (options) => {
  const format = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
  return (text) => format.format(dayOf(text)).replace(",", "");
};
export const longDay = shownDay({ weekday: "short", day: "numeric", month: "short", year: "numeric" });
export const shortDay = shownDay({ day: "numeric", month: "short" });
export const monthOf = shownDay({ month: "short", year: "numeric" });
export const fullDay = shownDay({ day: "numeric", month: "short", year: "numeric" });
const shownMoment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
export const moment = (text) => shownMoment.format(new Date(text));
export const today = () => new Date().toLocaleDateString("sv"); // yyyy-mm-dd, in the reader's time zone

/** A column's name as words: `on_promotion` becomes `on promotion`. */
export const word = (name) => name.replaceAll("_", " ");

/** `rows` (arrays) as CSV by RFC 4180, with the byte order mark that tells spreadsheets it is UTF-8. */
export function csv(header, rows) {
  return `\uFEFF${[header, ...rows].map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
}

function cell(value) {
  if (value == null) return "";
  if (typeof value !== "string") return String(value);
  const text = /^[=+@\t\r]|^-\D/.test(value) ? `'${value}` : value; // else a spreadsheet takes it for a formula
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function download(name, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type: "text/csv;charset=utf-8" }));
  link.download = name.replaceAll(/[^\p{L}\p{N}._-]+/gu, "-");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
