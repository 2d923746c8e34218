// How figures, days and tables are written. Text stays text: nothing here parses a string as HTML.

const LOCALE = "en-US";
const DASH = "–";

/**
 * @param {Cell | undefined} value
 * @param {number} digits
 */
function formatNumber(value, digits) {
  if (value === null || value === undefined) return DASH;
  const text = value.toLocaleString(LOCALE, {minimumFractionDigits: digits, maximumFractionDigits: digits});
  return /[1-9]/.test(text) ? text : text.replace("-", ""); // no "-0.0"
}

/** @param {Cell} value */
function formatDollars(value) {
  return value === null ? DASH : value.toLocaleString(LOCALE, {style: "currency", currency: "USD"});
}

/**
 * A value with its unit.
 * @param {Cell} value
 * @param {Measure} measure
 */
function formatValue(value, measure) {
  if (value === null) return DASH;
  if (measure.unit === "$") return formatDollars(value);
  return formatNumber(value, measure.digits) + (measure.unit && ` ${formatUnit(value, measure)}`);
}

/**
 * The name of a metric, with the unit if the name does not say it.
 * @param {Metric} metric
 */
function nameMeasure({label, unit}) {
  return unit === "" || label.toLowerCase().includes({h: "hours", min: "minutes"}[unit] ?? unit)
    ? label
    : `${label} (${unit})`;
}

/**
 * @param {number} value
 * @param {Measure} measure
 */
function formatUnit(value, {unit, unit_of_one, digits}) {
  return unit_of_one !== null && formatNumber(value, digits) === formatNumber(1, digits) ? unit_of_one : unit;
}

/**
 * The lowest and the highest rate of apps, with all their digits: a rounded rate would not give the amount beside it.
 * @param {Cell[]} rates
 */
function formatRates(rates) {
  const known = rates.filter((rate) => rate !== null);
  const sorted = [...new Set(known)].sort((a, b) => a - b);
  const ends = [...sorted.slice(0, 1), ...sorted.slice(1).slice(-1)];
  const digits = {minimumFractionDigits: 3, maximumFractionDigits: 20};
  return ends.map((rate) => `$${rate.toLocaleString(LOCALE, digits)}`).join(" – ") || DASH;
}

const dayFormat = new Intl.DateTimeFormat("en-GB", {timeZone: "UTC", day: "numeric", month: "short", year: "numeric"});
const weekdayFormat = new Intl.DateTimeFormat("en-GB", {timeZone: "UTC", weekday: "short"});

/** @param {number} day */
function toTimestamp(day) {
  return FIRST + day * DAY_MS;
}

/** @param {number} day */
function toIsoDay(day) {
  return new Date(toTimestamp(day)).toISOString().slice(0, 10);
}

/** @param {string | null} iso */
function parseIsoDay(iso) {
  return toDay(Date.parse(iso ?? ""));
}

/** @param {number} day */
function formatDay(day) {
  return dayFormat.format(toTimestamp(day));
}

/** @param {number} day */
function formatWeekday(day) {
  return weekdayFormat.format(toTimestamp(day));
}

/** @param {number} day */
function formatDayWithWeekday(day) {
  return `${formatWeekday(day)} ${formatDay(day)}`;
}

/** @param {number} day */
function isWeekend(day) {
  return [0, 6].includes(new Date(toTimestamp(day)).getUTCDay());
}

/** @param {number} ms */
function formatClock(ms) {
  return new Date(ms).toISOString().slice(11, 16);
}

/** @param {Cell | undefined} ms */
function formatTime(ms) {
  return ms === null || ms === undefined ? DASH : `${dayFormat.format(ms)}, ${formatClock(ms)} UTC`;
}

/**
 * A range, without what its first day shares with its last: "2–8 Nov 2026".
 * @param {number} from
 * @param {number} to
 */
function formatRange(from, to) {
  const last = formatDay(to);
  if (from === to) return last;
  const [date, month, year] = formatDay(from).split(" ");
  if (!last.endsWith(` ${year}`)) return `${date} ${month} ${year} – ${last}`;
  return last.endsWith(` ${month} ${year}`) ? `${date}–${last}` : `${date} ${month} – ${last}`;
}

/**
 * Days in ascending order as ranges; the first six of them.
 * @param {number[]} days
 */
function formatRanges(days) {
  /** @type {[number, number][]} */
  const ranges = [];
  for (const day of days) {
    const last = ranges[ranges.length - 1];
    if (last && day === last[1] + 1) last[1] = day;
    else ranges.push([day, day]);
  }
  const shown = ranges
    .slice(0, 6)
    .map(([from, to]) => formatRange(from, to))
    .join(", ");
  return ranges.length > 6 ? `${shown}, and ${formatCount(ranges.length - 6, "range", "ranges")} more` : shown;
}

/**
 * The parts that are not empty, in one line.
 * @param {...string} parts
 */
function joinParts(...parts) {
  return parts.filter(Boolean).join("; ");
}

/**
 * @param {number} n
 * @param {string} one
 * @param {string} many
 */
function formatCount(n, one, many) {
  return `${formatNumber(n, 0)} ${n === 1 ? one : many}`;
}

/**
 * How many of the wanted days are known; "" if all are. With several apps, each app's day counts.
 * @param {Result} result
 * @param {Period} period
 */
function formatKnownDays(result, period) {
  if (result.known === result.wanted) return "";
  const unit = period.apps.length > 1 ? "app-days" : result.wanted === 1 ? "day" : "days";
  return `${formatNumber(result.known, 0)} of ${formatNumber(result.wanted, 0)} ${unit}`;
}

/**
 * @param {Result} result
 * @param {Period} period
 */
function formatCoverage(result, period) {
  const days = formatKnownDays(result, period);
  return days && `${days} known`;
}

/**
 * How a figure changed: percentages by points, all others by percent. Only between periods of which every day is known.
 * @param {Metric} metric
 * @param {Result} now
 * @param {Result} before
 * @param {Comparison} comparison
 */
function formatChange(metric, now, before, comparison) {
  if (!comparison.days.length || now.value === null || now.known < now.wanted) return {text: "", reason: ""};
  if (before.known < before.wanted) {
    const sessions = aggregate(METRICS.sessions, comparison);
    // if their days are not all known, the top of the page says so once for all figures
    return {text: "", reason: sessions.known < sessions.wanted ? "" : `before: ${formatCoverage(before, comparison)}`};
  }
  if (before.value === null) return {text: "", reason: `before: ${DASH}`};
  const difference = now.value - before.value;
  const reason = `before ${formatValue(before.value, metric)}`;
  const isPercentage = metric.unit === "%";
  if (!isPercentage && before.value === 0) return {text: now.value === 0 ? "unchanged" : "", reason};
  const amount = isPercentage ? difference : (difference / before.value) * 100;
  if (Number(Math.abs(amount).toFixed(1)) === 0) return {text: "unchanged", reason};
  const sign = amount > 0 ? "▲\u00a0+" : "▼\u00a0−";
  return {text: `${sign}${formatNumber(Math.abs(amount), 1)}\u00a0${isPercentage ? "points" : "%"}`, reason};
}

/**
 * An element with attributes and children; strings become text.
 * @param {string} tag
 * @param {Record<string, string>} attributes
 * @param {...(Content | null)} children
 */
function createElement(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  for (const child of children) if (child !== null && child !== "") element.append(child);
  return element;
}

/**
 * Text from outside, such as a name: shown as it is, and isolated if it is written from right to left.
 * @param {string} text
 */
function isolateText(text) {
  return createElement("bdi", {}, text);
}

/**
 * Text with a sign, so that the meaning does not depend on colour alone.
 * @param {Kind} kind
 * @param {string} text
 */
function withSign(kind, text) {
  const sign = {good: "✓", bad: "✕", warning: "!", unknown: "?"}[kind];
  return createElement(
    "span",
    {class: `is-${kind}`},
    createElement("span", {class: "sign", "aria-hidden": "true"}, sign),
    text,
  );
}

/**
 * Put a table into its place, or `nothing` if it has no rows. The first cell of a row is its header.
 * @param {string} id
 * @param {TableContent} content
 */
function showTable(id, {caption, note, columns, rows, nothing, isSticky}) {
  const place = getElement(id);
  if (!rows.length) {
    const heading = createElement("strong", {}, `${caption}: `);
    place.replaceChildren(...(nothing ? [createElement("p", {class: "nothing"}, heading, nothing)] : []));
    return;
  }
  const title = createElement("caption", {}, caption, note ? createElement("small", {}, note) : null);
  const head = createElement(
    "tr",
    {},
    ...columns.map(([text, kind]) => createElement("th", {scope: "col", class: kind}, text)),
  );
  const body = rows.map(({cells, kind}) =>
    createElement(
      "tr",
      {class: kind ?? ""},
      ...cells.map((cell, n) => {
        const attributes = {class: columns[n][1], ...(n === 0 ? {scope: "row"} : {})};
        return createElement(n === 0 ? "th" : "td", attributes, ...(Array.isArray(cell) ? cell : [cell]));
      }),
    ),
  );
  const table = createElement(
    "table",
    isSticky ? {class: "sticky"} : {},
    title,
    createElement("thead", {}, head),
    createElement("tbody", {}, ...body),
  );
  place.setAttribute("role", "region");
  place.setAttribute("aria-label", caption);
  place.replaceChildren(table);
  if (id.startsWith("table-")) addTableTools(place, /** @type {HTMLTableElement} */ (table));
}

/**
 * @param {string} chart
 * @param {string} text
 * @param {string} small
 */
function showCaption(chart, text, small) {
  getElement(`${chart}-caption`).replaceChildren(text, createElement("small", {}, small));
}

/**
 * The caption of a chart without its note.
 * @param {string} chart
 */
function readCaption(chart) {
  return getElement(`${chart}-caption`).firstChild?.textContent ?? "";
}
