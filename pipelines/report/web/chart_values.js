// Names of the values of each chart: in its table, in files, and spoken.

/** A column of a chart's values: its heading, the text to show, and the field with the exact value for files. */
/** @typedef {[heading: string, text: string, exact?: string]} ChartColumn */

/** @type {ChartColumn} */
const DAY_COLUMN = ["Day", "day", "t"];
/** @type {ChartColumn} */
const STATE_COLUMN = ["Known", "state"];

/** Values drawn in each chart, and its metric. */
/** @type {Record<string, {rows: ChartRow[], metric: Metric}>} */
const chartValues = {};

/**
 * @param {string} name
 * @returns {ChartColumn[]}
 */
function listChartColumns(name) {
  const measure = nameMeasure(chartValues[name].metric);
  /** @type {Record<string, ChartColumn[]>} */
  const columns = {
    days: [DAY_COLUMN, [measure, "shown", "value"], ["Period before", "shown_before", "before"], STATE_COLUMN],
    weekdays: [
      ["Weekday", "weekday"],
      [measure, "shown", "value"],
      ["Period before", "shown_before", "before"],
      ["Known days", "days"],
    ],
    peaks: [DAY_COLUMN, ["Most streams at once", "shown", "value"], ["First at", "moment"], STATE_COLUMN],
    audience: [DAY_COLUMN, ["Most viewers at once", "shown", "value"], ["First at", "moment"], STATE_COLUMN],
    top: [
      ["Livestream", "label"],
      ["App", "app"],
      [measure, "shown", "value"],
    ],
    waits: [DAY_COLUMN, ["Series", "series"], ["Time to live (s)", "shown", "seconds"], ["Sessions", "sessions"]],
    failures: [DAY_COLUMN, ["Kind", "kind"], ["Sessions", "shown", "value"]],
    verdicts: [DAY_COLUMN, ["Verdict", "verdict"], ["Days", "days"], ["App", "app"]],
    timeline: [
      DAY_COLUMN,
      ["On air", "hours"],
      ["State", "state"],
      ["Viewer hours of the session", "shown", "value"],
      ["Message", "message"],
    ],
  };
  return columns[name];
}

/**
 * A value in words, such as "812.3 viewer hours".
 * @param {Metric} metric
 * @param {Cell} value
 * @param {string} [missing] why there is none
 */
function describeValue(metric, value, missing = "unknown") {
  const label = metric.label[0].toLowerCase() + metric.label.slice(1);
  if (value === null) return `${label} ${missing}`;
  const number = formatValue(value, {...metric, unit: ["%", "s", "$"].includes(metric.unit) ? metric.unit : ""});
  return `${number} ${number === "1" ? label.replace(/s$/, "") : label}`;
}

/**
 * A row of a chart in words, such as "Wed 4 Nov 2026, 812.3 viewer hours".
 * @param {string} name
 * @param {ChartRow} row
 */
function describeRow(name, row) {
  const value = /** @type {Cell} */ (row.value ?? null);
  const part = row.state === "partial" ? " (only a part is known)" : "";
  const missing = row.shown === DASH ? "unknown" : String(row.shown);
  const measured = describeValue(chartValues[name].metric, value, missing) + part;
  /** @type {Record<string, () => string>} */
  const descriptions = {
    days: () => `${row.day}, ${measured}`,
    weekdays: () => `${row.weekday}, ${measured}`,
    peaks: () => `${row.day}, most streams at once: ${row.shown}`,
    audience: () => `${row.day}, most viewers at once: ${row.shown}`,
    top: () => `${row.label} (${row.app}), ${measured}`,
    waits: () => `${row.day}, ${row.series} ${row.shown} of ${row.sessions} sessions`,
    failures: () => `${row.day}, ${row.kind}: ${row.shown}`,
    verdicts: () => `${row.day}, ${row.verdict}: ${row.app}`,
    timeline: () =>
      `${row.day}, ${row.hours}, ${row.state}, ${describeValue(METRICS.viewer_hours, value)}${row.message === DASH ? "" : `: ${row.message}`}`,
  };
  return descriptions[name]();
}

/**
 * The values of a chart as a grid: exact numbers and ISO days.
 * @param {string} name
 * @returns {Grid}
 */
function readChart(name) {
  const columns = listChartColumns(name);
  const lines = chartValues[name].rows.map((row) =>
    columns.map(([, text, exact]) => {
      if (exact === "t") return toIsoDay(toDay(Number(row.t)));
      return row[exact ?? text] ?? null;
    }),
  );
  return [columns.map(([heading]) => heading), ...lines];
}

/**
 * Rows with a description each, which is also the accessible name of its mark.
 * @param {string} name
 * @param {ChartRow[]} rows
 * @param {Metric} metric
 */
function describeRows(name, rows, metric) {
  chartValues[name] = {rows, metric};
  for (const row of rows) row.description = describeRow(name, row);
  return rows;
}

/**
 * Let each bar and point be called by its row's description. Lines and the bands of unknown days have no name of their own.
 * @param {any} specification
 */
function describeMarks(specification) {
  for (const part of specification.layer ?? [specification]) {
    for (const band of part.layer ?? []) band.mark.aria = false;
    if (part.mark?.type === "line") part.mark.aria = false;
    else if (part.encoding?.tooltip) part.encoding.description = {field: "description", type: "nominal"};
  }
}
