// The livestreams with most of a figure, and the rest in one line, so that the table adds up to the total.

/** Columns to rank by, and the metric that each belongs to. */
/** @type {Record<string, Metric>} */
const RANKS = {
  viewer_seconds: METRICS.viewer_hours,
  ingest_seconds: METRICS.ingest_hours,
  sessions: METRICS.sessions,
  failed: METRICS.failed,
};
const LISTED = 12;
const SUMMED = [
  "sessions",
  "failed",
  "started",
  "ingest_seconds",
  "viewer_seconds",
  "ingest_reports",
  "viewer_reports",
  "paired_ingest",
  "paired_viewer",
];

/** @typedef {{stream: number, app: number, name: string | null, id: string, figures: Record<string, Cell>}} StreamLine */

/**
 * Livestreams with a session in the period, in descending order of `rank`.
 * @param {Period} period
 * @param {string} rank
 */
function rankStreams(period, rank) {
  const {keys, rows} = data.streams;
  const apps = new Set(period.apps);
  /** @type {Map<number, Record<string, number>>} */
  const found = new Map();
  rows.stream.forEach((stream, n) => {
    if (!apps.has(keys.app[stream]) || !isWithin(rows.day[n], period)) return;
    const sums = found.get(stream) ?? Object.fromEntries(SUMMED.map((column) => [column, 0]));
    for (const column of SUMMED) sums[column] += rows[column][n] ?? 0;
    // NULL: the same as the sum
    if (rows.paired_ingest[n] === null) sums.paired_ingest += rows.ingest_seconds[n] ?? 0;
    if (rows.paired_viewer[n] === null) sums.paired_viewer += rows.viewer_seconds[n] ?? 0;
    found.set(stream, sums);
  });
  const lines = [...found].map(([stream, sums]) => {
    /** @type {(reports: string, value: number) => Cell} */
    const orUnknown = (reports, value) => ((sums[reports] || !sums.started) && Number.isFinite(value) ? value : null);
    const figures = {
      ...sums,
      ingest_seconds: orUnknown("ingest_reports", sums.ingest_seconds),
      viewer_seconds: orUnknown("viewer_reports", sums.viewer_seconds),
    };
    return {stream, app: keys.app[stream], name: keys.name[stream], id: keys.livestream_id[stream], figures};
  });
  /** @type {(line: StreamLine) => number} */
  const order = ({figures}) => figures[rank] ?? -1;
  return lines.sort((a, b) => order(b) - order(a) || a.stream - b.stream);
}

/** @param {{name: string | null, id: string}} livestream */
function formatStream({name, id}) {
  return name || `(no name) ${id.slice(0, 8)}`;
}

/**
 * A figure in the unit of its metric; null if it is unknown.
 * @param {Record<string, Cell>} figures
 * @param {string} column
 */
function readFigure(figures, column) {
  const value = figures[column] ?? null;
  return value === null ? null : value * RANKS[column].factor;
}

/**
 * Average concurrent viewers; not defined if nothing was fed in.
 * @param {Record<string, Cell>} figures
 */
function formatAverageViewers({paired_viewer: viewer = null, paired_ingest: ingest = null}) {
  return formatNumber(viewer !== null && ingest ? viewer / ingest : null, METRICS.viewers.digits);
}

/**
 * The cells of figures, in the order of the columns.
 * @param {Record<string, Cell>} figures
 */
function createStreamCells(figures) {
  /** @type {(column: string) => string} */
  const format = (column) => formatNumber(readFigure(figures, column), RANKS[column].digits);
  return [
    format("viewer_seconds"),
    format("ingest_seconds"),
    formatAverageViewers(figures),
    format("sessions"),
    format("failed"),
  ];
}

/**
 * @param {Period} period
 * @param {string} rank
 * @param {StreamLine[]} streams
 */
function showTop(period, rank, streams) {
  const top = streams.slice(0, LISTED);
  /** @type {Row[]} */
  const rows = top.map((line, n) => {
    const app = period.apps.length > 1 ? createElement("small", {}, isolateText(data.apps[line.app])) : null;
    return {
      cells: [[`${n + 1}. `, createStreamLink(line.app, line.id, line.name), app], ...createStreamCells(line.figures)],
    };
  });
  /** @type {Record<string, Cell>} */
  const all = {};
  /** @type {Record<string, Cell>} */
  const others = {};
  for (const column of [...Object.keys(RANKS), "paired_ingest", "paired_viewer"]) {
    const sum = sumColumn(column, period);
    const listed = top.reduce((part, line) => part + (line.figures[column] ?? 0), 0);
    all[column] = sum;
    others[column] = sum === null ? null : Math.max(0, sum - listed);
  }
  const embedded = data.streams.keys.app.length;
  const isCapped = embedded < data.livestreams;
  const rest = streams.length - top.length;
  if (rest > 0 || (isCapped && (others.sessions ?? 0) > 0)) {
    const label = isCapped ? "Other livestreams" : formatCount(rest, "other livestream", "other livestreams");
    rows.push({cells: [label, ...createStreamCells(others)]});
  }
  if (top.length) rows.push({kind: "total", cells: ["All livestreams", ...createStreamCells(all)]});
  showTable("table-top", {
    caption: `Top ${LISTED} by ${RANKS[rank].label.toLowerCase()}`,
    isSticky: true,
    columns: [
      ["Livestream", "long"],
      ["Viewer hours", "number"],
      ["Ingest hours", "number"],
      ["Avg. conc. viewers", "number"],
      ["Sessions", "number"],
      ["Failed", "number"],
    ],
    rows,
    nothing: aggregate(METRICS.sessions, period).known ? "no session in this period." : "not known in this period.",
  });
  getElement("top-note").textContent = isCapped
    ? `Only ${formatNumber(embedded, 0)} of ${formatNumber(data.livestreams, 0)} livestreams are listed one by one: ` +
      "those that ranked highest in a month of their app. The rest is in “Other livestreams”."
    : "";
}
