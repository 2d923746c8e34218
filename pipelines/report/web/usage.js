// Tiles and tables of usage: streamed, watched, failed, and the cost estimate.

/** The figures of the first screen; the tiles further down show the others. */
const HEADLINES = ["viewer_hours", "ingest_hours", "error_rate", "cost"];
const TILES = [
  "sessions",
  "failed",
  "viewers",
  "peak",
  "p50",
  "p95",
  "recordings",
  "recording_minutes",
  "meetings",
  "meeting_minutes",
];
const APP_COLUMNS = [
  "viewer_hours",
  "ingest_hours",
  "sessions",
  "viewers",
  "error_rate",
  "peak",
  "recordings",
  "recording_minutes",
  "meetings",
  "meeting_minutes",
  "cost",
];

/** Marks a figure of which only as much is known as the headlines, or the name of the row, say. */
const PARTIAL = "~";

/**
 * Whether as many days of a figure are known as of the sessions: then the headlines say how many, once for all figures.
 * @param {Result} result
 * @param {Period} period
 */
function isKnownAsSessions(result, period) {
  return result.known === aggregate(METRICS.sessions, period).known;
}

/**
 * @param {string} id
 * @param {Period} period
 * @param {Comparison} before
 */
function createTile(id, period, before) {
  const metric = METRICS[id];
  const now = aggregate(metric, period);
  const {text, reason} = formatChange(metric, now, aggregate(metric, before), before);
  const hasUnit = now.value !== null && metric.unit !== "" && metric.unit !== "$";
  const unit = hasUnit ? createElement("span", {class: "unit"}, ` ${formatUnit(now.value ?? 0, metric)}`) : null;
  const number = metric.unit === "$" ? formatDollars(now.value) : formatNumber(now.value, metric.digits);
  const isUnknown = now.value === null && !now.known;
  const isStatedAbove = isUnknown || (!HEADLINES.includes(id) && isKnownAsSessions(now, period));
  const known = isStatedAbove ? "" : formatCoverage(now, period);
  const mark =
    isStatedAbove && !isUnknown && now.known < now.wanted
      ? createElement("span", {class: "unit"}, ` ${PARTIAL}`)
      : null;
  const notes = [
    isUnknown ? "unknown" : now.value === null ? metric.empty : "",
    id === "peak" && now.at ? formatTime(now.at) : "",
    id === "cost" ? "a lower bound" : "",
    id === "cost" && known ? `complete: ${known}` : known,
  ];
  return createElement(
    "article",
    {class: "tile", "data-metric": id},
    createElement("h3", {}, metric.label),
    createElement("p", {class: "value"}, number, unit, mark),
    text || reason
      ? createElement(
          "p",
          {},
          createElement("span", {class: "change"}, text),
          text && reason ? ", " : "",
          createElement("span", {class: "nowrap"}, reason),
        )
      : null,
    ...notes.filter(Boolean).map((note) => createElement("p", {}, note)),
  );
}

/**
 * @param {Period} period
 * @param {Comparison} before
 */
function showTiles(period, before) {
  getElement("headline").replaceChildren(...HEADLINES.map((id) => createTile(id, period, before)));
  getElement("tiles").replaceChildren(...TILES.map((id) => createTile(id, period, before)));
}

/**
 * A row of the table by app: each figure, and its change.
 * @param {number} app
 * @param {Period} period
 * @param {Comparison} before
 * @returns {Row}
 */
function createAppRow(app, period, before) {
  const now = {...period, apps: [app]};
  const then = {...before, apps: [app]};
  const figures = APP_COLUMNS.map((id) => {
    const metric = METRICS[id];
    const result = aggregate(metric, now);
    const {text, reason} = formatChange(metric, result, aggregate(metric, then), then);
    const part = isKnownAsSessions(result, now) ? PARTIAL : formatKnownDays(result, now);
    const missing = result.known === result.wanted ? "" : result.known || result.value !== null ? part : "unknown";
    const unit = metric.unit === "$" || metric.unit === "%" ? metric.unit : "";
    return [
      createElement("span", reason ? {title: reason} : {}, formatValue(result.value, {...metric, unit})),
      createElement(
        "small",
        missing && missing === formatKnownDays(result, now) ? {class: "coverage"} : {},
        text || missing || (result.value === null && metric.empty) || "",
      ),
    ];
  });
  const known = formatCoverage(aggregate(METRICS.sessions, now), now);
  return {cells: [[isolateText(data.apps[app]), known ? createElement("small", {}, known) : null], ...figures]};
}

/**
 * The apps of the period one by one; of a single app the tiles say all.
 * @param {Period} period
 * @param {Comparison} before
 */
function showApps(period, before) {
  const apps = period.apps.length > 1 ? period.apps : [];
  const rows = apps.map((app) => createAppRow(app, period, before));
  showTable("table-apps", {
    caption: "By app",
    note: "the tiles have the figures of all apps together: peaks and rates do not add up",
    isSticky: true,
    columns: [
      ["App", "long"],
      ...APP_COLUMNS.map(/** @returns {[string, string]} */ (id) => [METRICS[id].short ?? METRICS[id].label, "number"]),
    ],
    rows,
  });
}

/**
 * Failed sessions by message, in the order of the first that arrived.
 * @param {Period} period
 */
function countMessages(period) {
  const {rows} = data.messages;
  /** @type {Map<number, {key: number, early: number, late: number, last: number}>} */
  const found = new Map();
  rows.message.forEach((key, n) => {
    if (!period.apps.includes(rows.app[n]) || !isWithin(rows.day[n], period)) return;
    const line = found.get(key) ?? {key, early: 0, late: 0, last: 0};
    line.early += rows.before_live[n];
    line.late += rows.after_live[n];
    line.last = Math.max(line.last, rows.day[n]);
    found.set(key, line);
  });
  return found;
}

/**
 * Failed sessions by message, beside the period compared with.
 * @param {Period} period
 * @param {Comparison} before
 */
function showMessages(period, before) {
  const [now, then] = [countMessages(period), countMessages(before)];
  const isComparable = isFullyKnown(aggregate(METRICS.sessions, before));
  const lines = [...now.values()].sort((a, b) => b.early + b.late - a.early - a.late || a.key - b.key);
  const failed = lines.reduce((sum, line) => sum + line.early + line.late, 0);
  const rows = lines.slice(0, 25).map((line) => {
    const old = then.get(line.key) ?? {early: 0, late: 0};
    const count = line.early + line.late;
    return {
      cells: [
        [
          isolateText(data.messages.keys.message[line.key] ?? OTHER_MESSAGES),
          createFailureList(line.key, count, period),
        ],
        formatNumber(count, 0),
        `${formatNumber((count / failed) * 100, 1)} %`,
        formatNumber(line.early, 0),
        formatNumber(line.late, 0),
        isComparable ? formatNumber(old.early + old.late, 0) : DASH,
        formatDay(line.last),
      ],
    };
  });
  const sessions = aggregate(METRICS.sessions, period);
  const coverage = formatCoverage(sessions, period);
  showTable("table-messages", {
    caption: "Failed sessions by message",
    isSticky: true,
    note: joinParts(
      "share of all failed sessions",
      lines.length > 25 ? `the 25 most frequent of ${formatNumber(lines.length, 0)} messages` : "",
      coverage,
    ),
    columns: [
      ["Message", "long"],
      ["Sessions", "number"],
      ["Share", "number"],
      ["Before going live", "number"],
      ["After going live", "number"],
      ["Before", "number"],
      ["Last on", "nowrap"],
    ],
    rows,
    nothing: !sessions.known
      ? "not known in this period."
      : coverage
        ? `no failed session on the days that are known (${coverage}).`
        : "no session failed in this period.",
  });
}

/**
 * The estimate line by line, beside the period compared with.
 * @param {Period} period
 * @param {Comparison} before
 */
function showCost(period, before) {
  const rows = data.cost_lines.map((line) => {
    const minutes = sumColumns([line.minutes], period);
    const past = sumColumns([line.minutes], before);
    const note = createElement("small", {}, joinParts(line.note, formatCoverage({...minutes, value: null}, period)));
    return {
      kind: "",
      cells: [
        [line.label, note],
        line.cost ? formatDollars(sumColumn(line.cost, period)) : DASH,
        line.cost && isFullyKnown(past) ? formatDollars(sumColumn(line.cost, before)) : DASH,
        formatNumber(minutes.summed ? minutes.sums[0] * line.factor : null, 0),
        line.rates === null ? "no rate" : formatRates(period.apps.map((app) => line.rates?.[app] ?? null)),
      ],
    };
  });
  const [now, then] = [aggregate(METRICS.cost, period), aggregate(METRICS.cost, before)];
  const past = isFullyKnown(then) ? formatDollars(then.value) : DASH;
  rows.splice(data.cost_lines.filter((line) => line.cost).length, 0, {
    kind: "total",
    cells: ["Estimated total, at least", formatDollars(now.value), past, "", ""],
  });
  showTable("table-cost", {
    caption: "Estimate, US dollars",
    note: "an estimate, not an invoice",
    isSticky: true,
    columns: [
      ["Item", "long"],
      ["This period", "number"],
      ["Before", "number"],
      ["Minutes", "number"],
      ["Rate per minute", "number"],
    ],
    rows,
  });
}

/** Use of allowances by month: they are of whole months, so the period does not matter. */
function showAllowances() {
  const {allowances} = data;
  const count = allowances.month.length;
  const shown = Math.min(count, 40);
  showTable("table-allowances", {
    caption: "Allowances",
    note: joinParts("the last three months, whatever the period", shown < count ? `${shown} of ${count} rows` : ""),
    isSticky: true,
    columns: [
      ["App or customer", "long"],
      ["Month", "nowrap"],
      ["Used", "number"],
      ["Included", "number"],
      ["Used of it", "number"],
      ["Beyond", "number"],
      ["Cost beyond", "number"],
    ],
    rows: allowances.month.slice(0, shown).map((month, n) => {
      const percent = allowances.used_percent[n];
      const measure = createElement("small", {}, allowances.measure[n].replace("_", " "));
      return {
        cells: [
          [isolateText(allowances.holder[n]), measure],
          [month, allowances.is_complete[n] ? "" : createElement("small", {}, "not final")],
          formatNumber(allowances.used[n], 0),
          formatNumber(allowances.included[n], 0),
          percent === null ? DASH : `${formatNumber(percent, 1)} %`,
          formatNumber(allowances.beyond[n], 0),
          formatDollars(allowances.cost[n]),
        ],
      };
    }),
  });
}
