// How figures, days and tables are written. Text only ever becomes text: nothing here makes HTML of a string.

const LOCALE = "en-US";
const DASH = "–";

function written(value, digits) {
  if (value === null || value === undefined) return DASH;
  const text = value.toLocaleString(LOCALE, {minimumFractionDigits: digits, maximumFractionDigits: digits});
  return /[1-9]/.test(text) ? text : text.replace("-", ""); // no "-0.0"
}

/** A metric's value with its unit, as one text. */
function withUnit(value, metric) {
  if (value === null || value === undefined) return DASH;
  if (metric.unit === "$") return dollars(value);
  return written(value, metric.digits) + (metric.unit === "%" ? " %" : metric.unit && ` ${metric.unit}`);
}

/** A rate with all its digits: rounded, it would not give the amount beside it. */
function rateText(rate) {
  return `$${rate.toLocaleString(LOCALE, {minimumFractionDigits: 3, maximumFractionDigits: 20})}`;
}

function dollars(value) {
  if (value === null) return DASH;
  return value.toLocaleString(LOCALE, {style: "currency", currency: "USD"});
}

const dayFormat = new Intl.DateTimeFormat("en-GB", {timeZone: "UTC", day: "numeric", month: "short", year: "numeric"});
const weekdayFormat = new Intl.DateTimeFormat("en-GB", {timeZone: "UTC", weekday: "short"});

function moment(day) {
  return FIRST + day * DAY;
}
function isoDay(day) {
  return new Date(moment(day)).toISOString().slice(0, 10);
}
function dayText(day) {
  return dayFormat.format(moment(day));
}
function weekday(day) {
  return weekdayFormat.format(moment(day));
}
function isWeekend(day) {
  return [0, 6].includes(new Date(moment(day)).getUTCDay());
}
function timeText(ms) {
  return ms === null ? DASH : `${dayFormat.format(ms)}, ${new Date(ms).toISOString().slice(11, 16)} UTC`;
}
function rangeText(from, to) {
  return from === to ? dayText(from) : `${dayText(from)} – ${dayText(to)}`;
}
/** Clauses of a note, those that say something. */
function clauses(...parts) {
  return parts.filter(Boolean).join("; ");
}

function counted(n, one, many) {
  return `${written(n, 0)} ${n === 1 ? one : many}`;
}

/** Days as ranges, in few words: "3–5 Nov" stays readable where a list of days would not. */
function rangesText(days) {
  const ranges = [];
  for (const day of days) {
    const last = ranges[ranges.length - 1];
    if (last && day === last[1] + 1) last[1] = day;
    else ranges.push([day, day]);
  }
  const shown = ranges
    .slice(0, 6)
    .map(([from, to]) => rangeText(from, to))
    .join(", ");
  return ranges.length > 6 ? `${shown}, and ${counted(ranges.length - 6, "range", "ranges")} more` : shown;
}

/** How many of the wanted days are known, in words; "" where all are. Of several apps a day counts once each. */
function coverage(result, period) {
  if (result.known === result.wanted) return "";
  const what = period.apps.length > 1 ? "app-days" : result.wanted === 1 ? "day" : "days";
  return `${written(result.known, 0)} of ${written(result.wanted, 0)} ${what} known`;
}

/** How a figure changed: {text, reason}. Rates change by points, the rest by percent. */
function change(metric, now, before, periodBefore) {
  if (now.value === null) return {text: "", reason: ""};
  if (now.known < now.wanted) return {text: "", reason: ""};
  if (before.known < before.wanted) {
    const none = before.known === 0 ? "not known" : coverage(before, periodBefore);
    return {text: "", reason: `period before: ${none}`};
  }
  if (before.value === null) return {text: "", reason: `period before: ${DASH}`};
  const difference = now.value - before.value;
  const reason = `before ${withUnit(before.value, metric)}`;
  if (metric.unit !== "%" && before.value === 0) return {text: now.value === 0 ? "unchanged" : "", reason};
  const amount = metric.unit === "%" ? difference : (difference / before.value) * 100;
  const size = written(Math.abs(amount), 1);
  if (Number(Math.abs(amount).toFixed(1)) === 0) return {text: "unchanged", reason};
  const unit = metric.unit === "%" ? "points" : "%";
  return {text: `${amount > 0 ? "▲\u00a0+" : "▼\u00a0−"}${size}\u00a0${unit}`, reason};
}

/** An element with attributes and children; strings become text. */
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

/** A name given by somebody else: shown as it is, whatever the direction of its script. */
function named(name) {
  return el("bdi", {}, name);
}

/** A sign and words, so that colour is not the only one to tell. */
function signed(kind, text) {
  const sign = {good: "✓", bad: "✕", odd: "!", unknown: "?"}[kind];
  return el("span", {class: `is-${kind}`}, el("span", {class: "sign", "aria-hidden": "true"}, sign), text);
}

/**
 * Put a table into its place. columns: [title, class]; rows: {cells, class}; the first cell of a row heads it.
 * Where there are no rows the place says so.
 */
function showTable(id, {caption, note, columns, rows, nothing, sticky}) {
  const place = document.getElementById(id);
  const title = el("caption", {}, caption, note ? el("small", {}, note) : null);
  if (!rows.length) {
    place.replaceChildren(...(nothing ? [el("p", {class: "nothing"}, el("strong", {}, `${caption}: `), nothing)] : []));
    return;
  }
  const head = el("tr", {}, ...columns.map(([text, kind]) => el("th", {scope: "col", class: kind || ""}, text)));
  const body = rows.map(({cells, kind}) =>
    el(
      "tr",
      {class: kind || ""},
      ...cells.map((cell, n) => {
        const attributes = {class: columns[n][1] || "", ...(n === 0 ? {scope: "row"} : {})};
        return el(n === 0 ? "th" : "td", attributes, ...(Array.isArray(cell) ? cell : [cell]));
      }),
    ),
  );
  const table = el("table", sticky ? {class: "sticky"} : {}, title, el("thead", {}, head), el("tbody", {}, ...body));
  place.setAttribute("role", "region");
  place.setAttribute("aria-label", caption);
  place.replaceChildren(table);
}

function showCaption(id, text, small) {
  document.getElementById(id).replaceChildren(text, ...(small ? [el("small", {}, small)] : []));
}
