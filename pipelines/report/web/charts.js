// Rows of each chart, in the shapes that charts.py documents.

/**
 * What is known of each bucket: "known", "partial" or "unknown", "ahead" of the loaded days; and a sign, once for neighbours alike.
 * @param {Bucket[]} buckets
 * @param {(days: number[]) => Result} read
 */
function describeStates(buckets, read) {
  const results = buckets.map(({days}) => read(days));
  const states = results.map(({known, wanted, value}, n) => {
    if (buckets[n].days[0] > LAST_DAY) return "ahead";
    return known === wanted ? "known" : known > 0 || value !== null ? "partial" : "unknown";
  });
  const signs = buckets.map(() => "");
  for (let from = 0, to = 0; from < states.length; from = to) {
    while (to < states.length && states[to] === states[from]) to += 1;
    const middle = Math.floor((from + to - 1) / 2);
    if (states[from] === "partial") signs[middle] = "~";
    if (states[from] === "unknown") signs[middle] = to - from > 2 && to - from >= states.length / 6 ? "not known" : "?";
  }
  return results.map((result, n) => ({result, state: states[n], sign: signs[n]}));
}

/**
 * A value for a tooltip; of a bucket that is known in part, also how much of it is.
 * @param {Result} result
 * @param {Metric} metric
 * @param {Period} one
 */
function formatShown(result, metric, one) {
  if (one.days[0] > LAST_DAY) return "not loaded yet";
  if (result.value === null && !result.known) return "unknown";
  const part = formatCoverage(result, one);
  return formatValue(result.value, metric) + (part && ` (${part})`);
}

/**
 * @param {Metric} metric
 * @param {ChartPeriod} period
 */
function createDaysRows(metric, {apps, buckets}) {
  const states = describeStates(buckets, (days) => aggregate(metric, {apps, days}));
  return buckets.map(({t, days, before, isPale, label}, n) => {
    const {result, state, sign} = states[n];
    const then = before.length ? aggregate(metric, {apps, days: before}) : null;
    const isThenKnown = then !== null && isFullyKnown(then);
    return {
      t,
      value: result.value,
      before: isThenKnown ? then.value : null,
      kind: isPale ? "pale" : "plain",
      state,
      sign,
      day: label,
      shown: formatShown(result, metric, {apps, days}),
      shown_before: isThenKnown
        ? `${formatValue(then.value, metric)} (${formatRange(before[0], before[before.length - 1])})`
        : then
          ? "unknown"
          : DASH,
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
  const days = period.days.filter(
    (day) => formatWeekday(day) === name && isFullyKnown(aggregate(metric, {...period, days: [day]})),
  );
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
      kind: name[0] === "S" ? "pale" : "plain",
      value: now.value,
      before: then.value,
      shown: formatValue(now.value, metric),
      shown_before: formatValue(then.value, metric),
      days: String(now.days),
    };
  });
}

/** @param {ChartPeriod} period */
function createPeaksRows({apps, buckets}) {
  const states = describeStates(buckets, (days) => findPeak({apps, days}));
  return buckets.map(({t, label}, n) => {
    const {result, state, sign} = states[n];
    const least = state === "partial" ? "at least " : "";
    const missing = state === "ahead" ? "not loaded yet" : "unknown";
    return {
      t,
      value: result.value,
      state,
      sign,
      day: label,
      shown: result.value === null ? missing : least + formatValue(result.value, METRICS.peak),
      moment: formatTime(result.at),
    };
  });
}

/** @param {ChartPeriod} period */
function createAudienceRows({apps, buckets}) {
  const states = describeStates(buckets, (days) => findAudience({apps, days}));
  return buckets.map(({t, label}, n) => {
    const {result, state, sign} = states[n];
    return {
      t,
      value: result.value,
      state,
      sign,
      day: label,
      shown: result.value === null ? "not observed" : formatNumber(result.value, 1),
      moment: formatTime(result.at),
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
    const value = readFigure(line.figures, rank);
    if (value === null) return [];
    const label = `${n + 1}. \u2068${formatStream(line)}\u2069`;
    const link = formatAddress({app: line.app, id: line.id});
    return [{label, value, app: data.apps[line.app], shown: formatValue(value, metric), link}];
  });
}

/** @param {ChartPeriod} period */
function createWaitsRows({apps, buckets}) {
  /** @type {[string, Metric][]} */
  const series = [
    ["median (p50)", METRICS.p50],
    ["95th percentile (p95)", METRICS.p95],
  ];
  const results = buckets.map(({days}) => series.map(([, metric]) => aggregate(metric, {apps, days})));
  /** @type {(n: number) => boolean} */
  const isEmpty = (n) => results[n]?.[0].value == null;
  /** @type {(n: number) => boolean} A point without neighbours has no line to be seen by. */
  const hasMark = (n) => buckets.length <= 31 || (isEmpty(n - 1) && isEmpty(n + 1));
  return buckets.flatMap(({t, days, label}, n) => {
    const sessions = formatNumber(poolTimesToLive({apps, days}).length, 0);
    return series.map(([name, metric], one) => ({
      t,
      series: name,
      seconds: results[n][one].value,
      has_mark: Number(hasMark(n)),
      day: label,
      shown: formatShown(results[n][one], metric, {apps, days}),
      sessions,
    }));
  });
}

/** @param {ChartPeriod} period */
function createFailuresRows({apps, buckets}) {
  const {rows} = data.messages;
  const place = new Map(buckets.flatMap(({days}, n) => days.map((day) => [day, n])));
  const sums = buckets.map(() => [0, 0]);
  rows.message.forEach((_, n) => {
    const bucket = place.get(rows.day[n]);
    if (bucket === undefined || !apps.includes(rows.app[n])) return;
    sums[bucket][0] += rows.before_live[n];
    sums[bucket][1] += rows.after_live[n];
  });
  const states = describeStates(buckets, (days) => aggregate(METRICS.sessions, {apps, days}));
  return buckets.flatMap(({t, days, label}, n) =>
    ["failed before going live", "failed after going live"].map((kind, place) => {
      const {result, state, sign} = states[n];
      const value = result.known ? sums[n][place] : null;
      return {
        t,
        kind,
        place,
        value,
        ...(place ? {state: "known", sign: ""} : {state, sign}),
        day: label,
        shown: formatShown({...result, value}, METRICS.failed, {apps, days}),
      };
    }),
  );
}

/** @param {ChartPeriod} period */
function createVerdictsRows({apps, buckets}) {
  return buckets.flatMap(({t, days, label}) => {
    const loaded = days.filter((day) => day <= LAST_DAY);
    const pairs = apps.flatMap((app) => loaded.map((day) => ({app, verdict: getVerdict(app, day)})));
    return groupBy(pairs, ({verdict}) => verdict).map((group) => ({
      t,
      verdict: data.verdicts[group[0].verdict].label,
      day: label,
      app: [...new Set(group.map(({app}) => data.apps[app]))].join(", "),
      days: formatNumber(group.length, 0),
    }));
  });
}

/**
 * Rows of every chart but the main one, for the current choice.
 * @param {Metric} metric
 * @param {ChartPeriod} period
 * @param {Comparison} before
 * @param {string} rank
 * @param {StreamLine[]} streams
 * @returns {Record<string, ChartRow[]>}
 */
function createChartRows(metric, period, before, rank, streams) {
  return {
    weekdays: createWeekdaysRows(metric, period, before),
    peaks: createPeaksRows(period),
    audience: createAudienceRows(period),
    top: createTopRows(streams, rank),
    waits: createWaitsRows(period),
    failures: createFailuresRows(period),
    verdicts: createVerdictsRows(period),
  };
}
