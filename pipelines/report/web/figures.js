"use strict";
// Aggregates of the embedded daily rows over any days and apps. The queries compute the columns; metrics.py declares the
// columns and the unit of each metric.

const DAY_MS = 86400000;

/**
 * The element with an id of the template.
 * @param {string} id
 */
function getElement(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element #${id}`);
  return element;
}

/**
 * The day of a time at its beginning.
 * @param {number} timestamp
 */
function toDay(timestamp) {
  return Math.round((timestamp - FIRST) / DAY_MS);
}

/** @type {Figures} */
const data = JSON.parse(getElement("figures").textContent ?? "");
const METRICS = data.metrics;
const FIRST = Date.parse(data.first);
const LAST_DAY = toDay(Date.parse(data.last));
const ALL_APPS = data.apps.map((_, app) => app);
/** The app index of rows that are about all apps together. */
const TOGETHER = -1;

/**
 * Row numbers of a table by app and day.
 * @param {{app: number[], day: number[]}} table
 */
function indexRows(table) {
  /** @type {Map<number, Map<number, number>>} */
  const index = new Map([TOGETHER, ...ALL_APPS].map((app) => [app, new Map()]));
  table.day.forEach((day, n) => {
    index.get(table.app[n])?.set(day, n);
  });
  return index;
}

const rowIndex = {
  days: indexRows(data.days),
  waits: indexRows(data.waits),
  reconciliation: indexRows(data.reconciliation),
  peaks: indexRows(data.peaks),
  audience: indexRows(data.audience),
};

/**
 * The row number of an app's day, or undefined.
 * @param {keyof typeof rowIndex} table
 * @param {number} app
 * @param {number} day
 */
function findRow(table, app, day) {
  return rowIndex[table].get(app)?.get(day);
}

/**
 * Days of a range, both ends included.
 * @param {number} from
 * @param {number} to
 */
function listDays(from, to) {
  return Array.from({length: Math.max(0, to - from + 1)}, (_, n) => from + n);
}

/**
 * Whether a day is in a period, which is a range of days; in none if it has no days.
 * @param {number} day
 * @param {Period} period
 */
function isWithin(day, {days}) {
  return day >= days[0] && day <= days[days.length - 1];
}

/**
 * Values with the same key together, in the order of the first of each.
 * @template T
 * @param {T[]} values
 * @param {(value: T) => string} key
 */
function groupBy(values, key) {
  /** @type {Map<string, T[]>} */
  const groups = new Map();
  for (const value of values) {
    const name = key(value);
    const group = groups.get(name);
    if (group) group.push(value);
    else groups.set(name, [value]);
  }
  return [...groups.values()];
}

/**
 * Sums of columns of data.days, over the days of which all of them are known. A sum beyond a double is unknown.
 * @param {string[]} columns
 * @param {Period} period
 * @param {string | null} [knownColumn] says which days count as known; by default all that are summed
 */
function sumColumns(columns, period, knownColumn = null) {
  let sums = columns.map(() => 0);
  let [summed, known] = [0, 0];
  for (const app of period.apps) {
    for (const day of period.days) {
      const n = findRow("days", app, day);
      if (n === undefined) continue;
      const values = columns.map((name) => data.days[name][n]);
      if (values.some((value) => value === null)) continue;
      sums = sums.map((sum, column) => sum + Number(values[column]));
      summed += 1;
      if (!knownColumn || data.days[knownColumn][n]) known += 1;
    }
  }
  if (!sums.every(Number.isFinite)) [summed, known] = [0, 0];
  return {sums, summed, known, wanted: period.apps.length * period.days.length};
}

/**
 * Sum of one column in its own unit.
 * @param {string} column
 * @param {Period} period
 */
function sumColumn(column, period) {
  const {sums, summed} = sumColumns([column], period);
  return summed ? sums[0] : null;
}

/**
 * The highest daily peak. That of several apps together is counted by itself: the apps' own peaks do not add up to it.
 * @param {"peaks" | "audience"} table
 * @param {Period} period
 */
function findMaximum(table, period) {
  const app = period.apps.length > 1 ? TOGETHER : period.apps[0];
  /** @type {{value: Cell, at: Cell, known: number}} */
  const best = {value: null, at: null, known: 0};
  for (const day of period.days) {
    const n = findRow(table, app, day);
    if (n === undefined) continue;
    best.known += data[table].known[n];
    if (best.value === null || data[table].peak[n] > best.value) {
      best.value = data[table].peak[n];
      best.at = data[table].peak_at[n];
    }
  }
  return best;
}

/**
 * Most streams on air at one moment.
 * @param {Period} period
 * @returns {Result}
 */
function findPeak(period) {
  return {...findMaximum("peaks", period), wanted: period.apps.length * period.days.length};
}

/**
 * Most viewers at one time, averaged over a minute or hour; `known` counts the days that were observed.
 * @param {Period} period
 * @returns {Result}
 */
function findAudience(period) {
  return {...findMaximum("audience", period), wanted: period.days.length};
}

/**
 * Times to live of all sessions, ascending, in milliseconds.
 * @param {Period} period
 */
function poolTimesToLive(period) {
  /** @type {number[]} */
  const pooled = [];
  for (const app of period.apps) {
    for (const day of period.days) {
      const n = findRow("waits", app, day);
      for (const value of n === undefined ? [] : data.waits.waits[n]) {
        if (value >= 0) pooled.push(value);
        else for (let again = value, last = pooled[pooled.length - 1]; again < 0; again += 1) pooled.push(last);
      }
    }
  }
  return Float64Array.from(pooled).sort();
}

/**
 * A percentile of ascending values, interpolated as quantile_cont of DuckDB does.
 * @param {Float64Array} sorted
 * @param {number} share
 */
function readPercentile(sorted, share) {
  if (!sorted.length) return null;
  const place = (sorted.length - 1) * share;
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
}

/**
 * Whether every day is known of a period that has days.
 * @param {Pick<Result, "known" | "wanted">} result
 */
function isFullyKnown({known, wanted}) {
  return wanted > 0 && known === wanted;
}

/**
 * A metric over a period.
 * @param {Metric} metric
 * @param {Period} period
 * @returns {Result}
 */
function aggregate(metric, period) {
  if (metric.aggregate === "maximum") return findPeak(period);
  const {sums, summed, known, wanted} = sumColumns(metric.columns, period, metric.known);
  let value = summed ? sums[0] : null;
  if (metric.aggregate === "ratio") value = sums[1] > 0 ? sums[0] / sums[1] : null;
  if (metric.aggregate === "percentile") value = readPercentile(poolTimesToLive(period), metric.share ?? 0);
  return {value: value === null ? null : value * metric.factor, known, wanted};
}
