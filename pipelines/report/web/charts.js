// Captions and rows of each chart, in the shapes that charts.py documents.

/** @param {number} day */
function formatDayWithWeekday(day) {
  return `${formatWeekday(day)} ${formatDay(day)}`;
}

/**
 * Whether a day is known, only partly known, or unknown; and the sign to write on it.
 * @param {Result} result
 * @param {Period} period
 */
function describeState(result, period) {
  const hasSome = result.known > 0 || result.value !== null;
  const state = result.known === result.wanted ? "known" : hasSome ? "partial" : "unknown";
  const fits = period.days.length <= 62;
  return {state, sign: fits ? {unknown: "?", partial: "~", known: ""}[state] : ""};
}

/**
 * @param {Metric} metric
 * @param {Period} period
 * @param {Period} before
 */
function createDaysRows(metric, period, before) {
  return period.days.map((day, n) => {
    const one = {...period, days: [day]};
    const now = aggregate(metric, one);
    const dayBefore = before.days[n];
    const then = aggregate(metric, {...before, days: [dayBefore]});
    const state = describeState(now, period);
    const part = formatCoverage(now, one);
    const isThenKnown = then.known === then.wanted;
    return {
      t: toTimestamp(day),
      value: now.value,
      before: isThenKnown ? then.value : null,
      kind: isWeekend(day) ? "weekend" : "weekday",
      ...state,
      day: formatDayWithWeekday(day),
      shown: state.state === "unknown" ? "unknown" : formatValue(now.value, metric) + (part && ` (${part})`),
      shown_before: isThenKnown ? `${formatValue(then.value, metric)} (${formatDay(dayBefore)})` : "unknown",
    };
  });
}

/**
 * A metric over the known days of a weekday: of a sum the daily mean, of all others the value of these days together.
 * @param {Metric} metric
 * @param {Period} period
 * @param {string} name
 */
function aggregateWeekday(metric, period, name) {
  const days = period.days.filter((day) => {
    if (formatWeekday(day) !== name) return false;
    const one = aggregate(metric, {...period, days: [day]});
    return one.known === one.wanted;
  });
  const value = days.length ? aggregate(metric, {...period, days}).value : null;
  const isMean = metric.aggregate === "sum" && value !== null;
  return {days: days.length, value: isMean ? value / days.length : value};
}

/**
 * @param {Metric} metric
 * @param {Period} period
 * @param {Period} before
 */
function createWeekdaysRows(metric, period, before) {
  return ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].map((name) => {
    const [now, then] = [aggregateWeekday(metric, period, name), aggregateWeekday(metric, before, name)];
    return {
      weekday: name,
      kind: name[0] === "S" ? "weekend" : "weekday",
      value: now.value,
      before: then.value,
      shown: formatValue(now.value, metric),
      shown_before: formatValue(then.value, metric),
      days: String(now.days),
    };
  });
}

/** @param {Period} period */
function createPeaksRows(period) {
  return period.days.map((day) => {
    const peak = findPeak({...period, days: [day]});
    const least = peak.known < peak.wanted ? "at least " : "";
    return {
      t: toTimestamp(day),
      value: peak.value,
      ...describeState(peak, period),
      day: formatDayWithWeekday(day),
      shown: peak.value === null ? "unknown" : least + formatNumber(peak.value, 0),
      moment: formatTime(peak.at),
    };
  });
}

/** @param {Period} period */
function createAudienceRows(period) {
  return period.days.map((day) => {
    const peak = findAudience({...period, days: [day]});
    return {
      t: toTimestamp(day),
      value: peak.value,
      ...describeState(peak, period),
      day: formatDayWithWeekday(day),
      shown: peak.value === null ? "not observed" : formatNumber(peak.value, 1),
      moment: formatTime(peak.at),
    };
  });
}

/**
 * @param {StreamLine[]} streams
 * @param {string} rank
 */
function createTopRows(streams, rank) {
  const metric = RANKS[rank];
  return streams.slice(0, LISTED).flatMap((line, n) => {
    const figure = line.figures[rank];
    if (figure === null) return [];
    const value = figure * metric.factor;
    const label = `${n + 1}. \u2068${formatStream(line)}\u2069`;
    return [{label, value, app: data.apps[line.app], shown: formatValue(value, metric)}];
  });
}

/** @param {Period} period */
function createWaitsRows(period) {
  /** @type {[string, Metric][]} */
  const series = [
    ["median (p50)", METRICS.p50],
    ["95th percentile (p95)", METRICS.p95],
  ];
  return period.days.flatMap((day) => {
    const one = {...period, days: [day]};
    const sessions = formatNumber(poolTimesToLive(one).length, 0);
    return series.map(([label, metric]) => {
      const seconds = aggregate(metric, one).value;
      return {
        t: toTimestamp(day),
        series: label,
        seconds,
        day: formatDayWithWeekday(day),
        shown: formatValue(seconds, metric),
        sessions,
      };
    });
  });
}

/** @param {Period} period */
function createFailuresRows(period) {
  const {rows} = data.messages;
  const sums = new Map(period.days.map((day) => [day, [0, 0]]));
  rows.message.forEach((_, n) => {
    const sum = sums.get(rows.day[n]);
    if (!sum || !period.apps.includes(rows.app[n])) return;
    sum[0] += rows.before_live[n];
    sum[1] += rows.after_live[n];
  });
  return period.days.flatMap((day) => {
    const sessions = aggregate(METRICS.sessions, {...period, days: [day]});
    return ["failed before going live", "failed after going live"].map((kind, place) => {
      const value = sessions.known ? (sums.get(day)?.[place] ?? 0) : null;
      return {
        t: toTimestamp(day),
        kind,
        place,
        value,
        ...(place ? {state: "known", sign: ""} : describeState(sessions, period)),
        day: formatDayWithWeekday(day),
        shown: value === null ? "unknown" : formatNumber(value, 0),
      };
    });
  });
}

/** @param {Period} period */
function createVerdictsRows(period) {
  return period.days.flatMap((day) =>
    groupBy(period.apps, (app) => getVerdict(app, day)).map((apps) => ({
      t: toTimestamp(day),
      verdict: data.verdicts[getVerdict(apps[0], day)].label,
      day: formatDayWithWeekday(day),
      app: apps.map((app) => data.apps[app]).join(", "),
    })),
  );
}

/**
 * @param {Metric} metric
 * @param {Period} period
 * @param {string} rank
 */
function captionCharts(metric, period, rank) {
  const hasUnitInLabel = ["h", "min", ""].includes(metric.unit);
  showCaption(
    "days-caption",
    `${metric.label}${hasUnitInLabel ? "" : `, ${metric.unit}`}, by day`,
    "UTC days; weekends in a paler colour",
  );
  const isSum = metric.aggregate === "sum";
  showCaption(
    "weekdays-caption",
    isSum ? "Weekday rhythm" : "By weekday",
    isSum ? "daily mean of the known days" : "all known days of that weekday together",
  );
  const peak = findPeak(period);
  const first = peak.at ? `, first on ${formatTime(peak.at)}` : "";
  showCaption(
    "peaks-caption",
    "Peak concurrent streams, by day",
    peak.value === null
      ? "unknown"
      : joinParts(`most at one moment: ${formatNumber(peak.value, 0)}${first}`, formatCoverage(peak, period)),
  );
  const audience = findAudience(period);
  const {known, wanted} = audience;
  showCaption(
    "audience-caption",
    "Peak concurrent viewers, by day",
    audience.value === null
      ? "not observed in this period"
      : joinParts(
          `most at once: ${formatNumber(audience.value, 1)}, first on ${formatTime(audience.at)}`,
          known < wanted ? `observed on ${known} of ${formatCount(wanted, "day", "days")}` : "",
        ),
  );
  const scope = period.apps.length > 1 ? ", all apps" : "";
  showCaption("top-caption", `${RANKS[rank].label}${scope}`, "of the livestreams listed");
  const sessions = poolTimesToLive(period).length;
  const [p50, p95] = [METRICS.p50, METRICS.p95].map((one) => formatValue(aggregate(one, period).value, one));
  showCaption(
    "waits-caption",
    "Time to live, by day",
    joinParts(
      "seconds from invoked to started",
      `this period p50 ${p50}, p95 ${p95}`,
      `of ${formatCount(sessions, "session that reports", "sessions that report")} both times`,
    ),
  );
  showCaption("failures-caption", "Failed sessions, by day", "sessions with an error message");
  showCaption(
    "verdicts-caption",
    "Reconciliation, by day",
    "the API’s daily totals compared with the sums of sessions",
  );
  const rounding = data.waits_are_exact ? "" : "each time to live is rounded to the nearest of steps 2 % apart";
  getElement("waits-note").textContent =
    `${joinParts("Percentiles of a period are those of all its sessions, not averages of daily percentiles", rounding)}.`;
}

/**
 * Rows of every chart for the current choice.
 * @param {Metric} metric
 * @param {Period} period
 * @param {Period} before
 * @param {string} rank
 * @param {StreamLine[]} streams
 * @returns {Record<string, ChartRow[]>}
 */
function createChartRows(metric, period, before, rank, streams) {
  return {
    days: createDaysRows(metric, period, before),
    weekdays: createWeekdaysRows(metric, period, before),
    peaks: createPeaksRows(period),
    audience: createAudienceRows(period),
    top: createTopRows(streams, rank),
    waits: createWaitsRows(period),
    failures: createFailuresRows(period),
    verdicts: createVerdictsRows(period),
  };
}
