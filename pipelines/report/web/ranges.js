// Ranges of days that people ask for, what each is compared with, and the days, weeks or months that charts show of it.

/** @param {number} day */
function readDate(day) {
  const date = new Date(toTimestamp(day));
  return {year: date.getUTCFullYear(), month: date.getUTCMonth(), date: date.getUTCDate()};
}

/**
 * The day of a date. A month or date beyond its end counts on, as in `Date.UTC`.
 * @param {number} year
 * @param {number} month
 * @param {number} date
 */
function findDay(year, month, date) {
  return toDay(Date.UTC(year, month, date));
}

/**
 * The first day of the month of a day, or of a month `offset` months later.
 * @param {number} day
 * @param {number} [offset]
 */
function findMonthStart(day, offset = 0) {
  const {year, month} = readDate(day);
  return findDay(year, month + offset, 1);
}

/** @param {number} day */
function findYearBefore(day) {
  const {year, month, date} = readDate(day);
  return findDay(year - 1, month, date);
}

/** @type {Record<string, {label: string, find: () => [number, number]}>} */
const RANGES = {
  "7d": {label: "7 days", find: () => [LAST_DAY - 6, LAST_DAY]},
  "28d": {label: "28 days", find: () => [LAST_DAY - 27, LAST_DAY]},
  "91d": {label: "91 days", find: () => [LAST_DAY - 90, LAST_DAY]},
  month: {label: "This month", find: () => [findMonthStart(LAST_DAY), findMonthStart(LAST_DAY, 1) - 1]},
  "last-month": {label: "Last month", find: () => [findMonthStart(LAST_DAY, -1), findMonthStart(LAST_DAY) - 1]},
  mtd: {label: "Month to date", find: () => [findMonthStart(LAST_DAY), LAST_DAY]},
  year: {label: "Year", find: () => [findYearBefore(LAST_DAY + 1), LAST_DAY]},
  all: {label: "All", find: () => [0, LAST_DAY]},
};

/** Four weeks; of a shorter history one week, or all. */
function getFirstRange() {
  return LAST_DAY >= 27 ? "28d" : LAST_DAY >= 6 ? "7d" : "all";
}

/**
 * The number of calendar months that a range consists of; 0 if it begins or ends within one.
 * @param {number} from
 * @param {number} to
 */
function countWholeMonths(from, to) {
  const [first, after] = [readDate(from), readDate(to + 1)];
  if (first.date !== 1 || after.date !== 1) return 0;
  return (after.year - first.year) * 12 + after.month - first.month;
}

/**
 * The same day of a month `months` earlier; null if that month is too short.
 * @param {number} day
 * @param {number} months
 */
function shiftMonths(day, months) {
  const start = findMonthStart(day, -months);
  const shifted = start + readDate(day).date - 1;
  return shifted < findMonthStart(start, 1) ? shifted : null;
}

/**
 * What a range is compared with: whole weeks earlier, so that weekdays match; or the months, or the year, before.
 * @param {string} range a name in RANGES, or "" for chosen dates
 * @param {number} from
 * @param {number} to
 * @returns {{days: number[], name: string, shift: (day: number) => number | null}}
 */
function findComparison(range, from, to) {
  if (range === "all") return {days: [], name: "", shift: () => null};
  const length = to - from + 1;
  const isWeeks = ["7d", "28d", "91d"].includes(range);
  const months = isWeeks ? 0 : countWholeMonths(from, to);
  if (range === "mtd") {
    const first = findMonthStart(from, -1);
    const last = Math.min(first + length - 1, from - 1);
    const name = `the same days of the month before, ${formatRange(first, last)}`;
    return {days: listDays(first, last), name, shift: (day) => shiftMonths(day, 1)};
  }
  if (range === "year" || (!months && length >= 365)) {
    const [first, last] = [findYearBefore(from), findYearBefore(to + 1) - 1];
    const name = `the ${range === "year" ? "" : "same dates of the "}year before, ${formatRange(first, last)}`;
    return {days: listDays(first, last), name, shift: (day) => shiftMonths(day, 12)};
  }
  if (months) {
    const [first, last] = [findMonthStart(from, -months), from - 1];
    const name = `the ${months === 1 ? "month" : formatCount(months, "month", "months")} before, ${formatRange(first, last)}`;
    return {days: listDays(first, last), name, shift: (day) => shiftMonths(day, months)};
  }
  const weeks = Math.ceil(length / 7);
  const [first, last] = [from - 7 * weeks, to - 7 * weeks];
  const span = weeks === 1 ? "week" : formatCount(weeks, "week", "weeks");
  const name = `${length % 7 ? `the same weekdays, ${weeks === 1 ? "a week" : span} earlier` : `the ${span} before`}, ${formatRange(first, last)}`;
  return {days: listDays(first, last), name, shift: (day) => day - 7 * weeks};
}

/** @type {Record<Unit, (day: number) => number>} The first day of the day, week or month that a day belongs to. */
const BUCKET_STARTS = {
  day: (day) => day,
  week: (day) => day - ((new Date(toTimestamp(day)).getUTCDay() + 6) % 7),
  month: (day) => findMonthStart(day),
};
/** @type {Record<Unit, (day: number) => number>} The first day of the next one. */
const BUCKET_ENDS = {
  day: (day) => day + 1,
  week: (day) => BUCKET_STARTS.week(day) + 7,
  month: (day) => findMonthStart(day, 1),
};

/**
 * The days of a range one by one, or of a long range by week (Monday to Sunday) or month, with the days each is compared with.
 * @param {number[]} days
 * @param {(day: number) => number | null} shift
 * @returns {{unit: Unit, buckets: Bucket[]}}
 */
function listBuckets(days, shift) {
  /** @type {Unit} */
  const unit = days.length <= 92 ? "day" : days.length <= 400 ? "week" : "month";
  const buckets = groupBy(days, (day) => String(BUCKET_STARTS[unit](day))).map((group) => {
    const [first, last] = [group[0], group[group.length - 1]];
    const isWhole = BUCKET_STARTS[unit](first) === first && BUCKET_ENDS[unit](last) === last + 1;
    const part = isWhole ? "" : ` (${formatCount(group.length, "day", "days")} of the ${unit})`;
    return {
      t: toTimestamp(first),
      days: group,
      before: group.map(shift).filter((day) => day !== null),
      isPale: unit === "day" ? isWeekend(first) : !isWhole,
      label: unit === "day" ? formatDayWithWeekday(first) : formatRange(first, last) + part,
    };
  });
  return {unit, buckets};
}

const TICK_WIDTH = 44;

/**
 * Where the axis of buckets has labels: at each day of a short range, at Mondays, or at the first week or month of each month. Of
 * more than fit beside each other every second, third … is kept, among them every January, which has the year.
 * @param {Unit} unit
 * @param {Bucket[]} buckets
 * @param {number} width of the chart in pixels
 */
function listTicks(unit, buckets, width) {
  const isShort = unit === "day" && buckets.length <= 14;
  /** @type {(bucket: Bucket) => number} */
  const group = ({days: [day]}) => (isShort ? day : unit === "day" ? BUCKET_STARTS.week(day) : findMonthStart(day));
  const places = buckets.flatMap((bucket, n) => (n === 0 || group(bucket) !== group(buckets[n - 1]) ? [n] : []));
  const step = Math.ceil(places.length / Math.max(1, Math.floor(width / TICK_WIDTH)));
  const [first, second] = places;
  const isCrowded = second && ((second - first) / buckets.length) * width < TICK_WIDTH;
  return places
    .filter((n, index) => {
      if (n === first && !isShort) return step === 1 && !isCrowded; // its group is cut off: the label would cover the next
      return unit === "day" ? index % step === 0 : readDate(buckets[n].days[0]).month % step === 0;
    })
    .map((n) => buckets[n].t);
}
