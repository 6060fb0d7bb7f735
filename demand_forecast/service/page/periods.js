/** The retailer's periods: days, weeks or months, dated as its own data are. */

import { dayOf, fullDay, longDay, monthOf, plusDays, textOf } from "./format.js";

const WORDS = { daily: "day", weekly: "week", monthly: "month" };
const DAYS = { day: 1, week: 7, month: 30 };

export class Periods {
  /** `model`: of GET /v1/model. */
  constructor({ frequency, dated_by: datedBy }) {
    Object.assign(this, { word: WORDS[frequency], ends: datedBy === "last" });
    this.days = DAYS[this.word]; // in one, about
  }

  /** The date of the period that is `count` after that of `date`. */
  ahead(date, count) {
    if (this.word !== "month") return plusDays(date, count * this.days);
    return this.ends ? plusDays(monthsAfter(date, count + 1), -1) : monthsAfter(date, count);
  }

  /** The first day of the period of this date. */
  first(date) {
    return this.ends ? plusDays(this.ahead(date, -1), 1) : date;
  }

  /** The last day of the period of this date. */
  last(date) {
    return this.ends ? date : plusDays(this.ahead(date, 1), -1);
  }

  /** How much history may be shown: as text and in periods. */
  get spans() {
    if (this.word === "month") return [12, 24, 36].map((count) => [`${count} months`, count]);
    const days = this.word === "day" ? 7 : 1;
    return [8, 13, 26].map((weeks) => [`${weeks} weeks`, weeks * days]);
  }

  /** The period of this date in words. */
  name(date) {
    if (this.word === "day") return longDay(date);
    return this.word === "month" ? monthOf(date) : `week ${this.ends ? "to" : "of"} ${fullDay(date)}`;
  }
}

/** The first day of the month that is `count` after that of `date`. */
function monthsAfter(date, count) {
  const day = new Date(dayOf(date));
  return textOf(Date.UTC(day.getUTCFullYear(), day.getUTCMonth() + count, 1));
}
