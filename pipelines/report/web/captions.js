// Captions of the charts, and the sentence in place of a chart that has nothing to show.

/** @type {Record<Unit, [string, string]>} How a chart divides its range, and what its paler bars are. */
const UNIT_NOTES = {
  day: ["UTC days", "weekends paler"],
  week: ["weeks from Monday, UTC", "paler: only a part of the week is in the range"],
  month: ["calendar months, UTC", "paler: only a part of the month is in the range"],
};

/**
 * @param {Metric} metric
 * @param {ChartPeriod} period
 * @param {Comparison} before
 * @param {ChartRow[]} rows
 */
function captionDays(metric, period, before, rows) {
  const [unit, pale] = UNIT_NOTES[period.unit];
  showCaption(
    "days",
    `${nameMeasure(metric)}, by ${period.unit}`,
    joinParts(
      unit,
      rows.some(({kind}) => kind === "pale") ? pale : "",
      rows.some((row) => row.before !== null) ? `dashed: ${before.name.split(",")[0]}` : "",
      rows.some(({state}) => state === "unknown" || state === "partial") ? "grey: not known, or only in part (~)" : "",
    ),
  );
}

/**
 * Captions of every chart but the main one.
 * @param {Metric} metric
 * @param {ChartPeriod} period
 * @param {Comparison} before
 * @param {string} rank
 * @param {Record<string, ChartRow[]>} rows
 */
function captionCharts(metric, period, before, rank, rows) {
  const by = `by ${period.unit}`;
  const isSum = metric.aggregate === "sum";
  showCaption(
    "weekdays",
    `${metric.label}, by weekday`,
    joinParts(
      isSum ? "daily mean of the known days" : "all known days of that weekday together",
      rows.weekdays.some((row) => row.before !== null) ? `line: ${before.name.split(",")[0]}` : "",
    ),
  );
  showCaption(
    "peaks",
    `${METRICS.peak.label}, ${by}`,
    joinParts("most on air at one moment", formatCoverage(findPeak(period), period)),
  );
  const audience = findAudience(period);
  const {known, wanted} = audience;
  showCaption(
    "audience",
    `Peak concurrent viewers, ${by}`,
    audience.value === null
      ? "not observed in this period"
      : joinParts(
          `most at once: ${formatNumber(audience.value, 1)}, first on ${formatTime(audience.at)}`,
          known < wanted ? `observed on ${known} of ${formatCount(wanted, "day", "days")}` : "",
        ),
  );
  const scope = period.apps.length > 1 ? ", all apps" : "";
  showCaption("top", `${RANKS[rank].label}${scope}`, "of the livestreams listed");
  const sessions = poolTimesToLive(period).length;
  showCaption(
    "waits",
    `Time to live, ${by}`,
    joinParts(
      "seconds from invoked to started",
      `of ${formatCount(sessions, "session that reports", "sessions that report")} both times`,
    ),
  );
  showCaption("failures", `Failed sessions, ${by}`, "sessions with an error message");
  showCaption("verdicts", `Reconciliation, ${by}`, "the API’s daily totals compared with the sums of sessions");
  const rounding = data.waits_are_exact ? "" : "each time to live is rounded to the nearest of steps 2 % apart";
  getElement("waits-note").textContent =
    `${joinParts("Percentiles of a period are those of all its sessions, not averages of daily percentiles", rounding)}.`;
}

/** Charts whose axis is days, weeks or months: of a single day they have nothing to add to the figures. */
const CHARTS_BY_DAY = ["days", "peaks", "audience", "waits", "failures", "verdicts"];

/**
 * Whether a chart has its place on the page for this period, whatever its rows.
 * @param {string} name
 * @param {ChartPeriod} period
 */
function isChartShown(name, {days}) {
  if (name === "weekdays") return days.length >= 14;
  if (name === "audience" && !data.audience.day.length) return false;
  return days.length > 1 || !CHARTS_BY_DAY.includes(name);
}

/**
 * Why a chart would be blank; "" if it is not.
 * @param {string} name
 * @param {ChartRow[]} rows
 */
function explainBlank(name, rows) {
  if (name === "verdicts") return rows.length ? "" : "No day of this period is loaded.";
  if (name === "timeline") return rows.length ? "" : "No session of this period is listed.";
  const values = rows.map((row) => row.value ?? row.seconds ?? null);
  if (values.some((value) => typeof value === "number" && value > 0)) return "";
  if (name === "waits") return "No known session of this period reports both times.";
  if (name === "top") return "No livestream has a known figure above zero in this period.";
  if (values.every((value) => value === null))
    return name === "audience" ? "Not observed." : "Not known in this period.";
  if (name === "failures") return "No session failed on the known days of this period.";
  return "Zero on all known days of this period.";
}
