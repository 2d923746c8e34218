"use strict";
// What can be computed of the embedded daily rows: sums, ratios, peaks and percentiles of any days of any apps.
// A result is {value, known, wanted}: value null where nothing is known; known of the wanted days (of each app) are.

const DAY = 86400000;
const data = JSON.parse(document.getElementById("figures").textContent);
const FIRST = Date.parse(data.first);
const LAST_DAY = Math.round((Date.parse(data.last) - FIRST) / DAY);
const ALL_APPS = data.apps.map((_, app) => app);

/** Rows of a table by app, then day: table → [Map(day → number of its row)]. */
function byAppAndDay(table) {
  const index = ALL_APPS.map(() => new Map());
  table.day.forEach((day, n) => index[table.app[n]].set(day, n));
  return index;
}

const dayRows = byAppAndDay(data.days);
const waitRows = byAppAndDay(data.waits);
const verdictRows = byAppAndDay(data.reconciliation);
const audienceRows = new Map(data.audience.day.map((day, n) => [`${data.audience.app[n]} ${day}`, n]));
const peakRows = new Map((data.peaks.day || []).map((day, n) => [day, n]));

/** Days from one to another, both included. */
function daysFrom(from, to) {
  return Array.from({length: Math.max(0, to - from + 1)}, (_, n) => from + n);
}

/** A figure of one app and day; null is unknown. */
function figure(name, app, day) {
  const n = dayRows[app].get(day);
  return n === undefined ? null : data.days[name][n];
}

function add(names, period) {
  let sums = names.map(() => 0);
  let known = 0;
  for (const app of period.apps) {
    for (const day of period.days) {
      const values = names.map((name) => figure(name, app, day));
      if (values.some((value) => value === null)) continue;
      values.forEach((value, n) => {
        sums[n] += value;
      });
      known += 1;
    }
  }
  if (!sums.every(Number.isFinite)) [sums, known] = [names.map(() => null), 0]; // beyond what a number holds: unknown
  return {sums, known, wanted: period.apps.length * period.days.length};
}

/** Sum of a figure times a factor. */
function total(name, factor) {
  return (period) => {
    const {sums, known, wanted} = add([name], period);
    return {value: known ? sums[0] * factor : null, known, wanted};
  };
}

/** Sum of one figure over the sum of another. */
function ratio(above, below, factor) {
  return (period) => {
    const {sums, known, wanted} = add([above, below], period);
    return {value: sums[1] > 0 ? (sums[0] / sums[1]) * factor : null, known, wanted};
  };
}

/** Most streams on air at once. Of several apps together it is a figure of its own, not the sum of theirs. */
function peak(period) {
  const together = period.apps.length > 1;
  let best = {value: null, at: null, day: null};
  let known = 0;
  for (const day of period.days) {
    const own = period.apps.map((app) => figure("peak", app, day));
    if (own.every((value) => value !== null)) known += period.apps.length;
    const n = together ? peakRows.get(day) : dayRows[period.apps[0]].get(day);
    const source = together ? data.peaks : data.days;
    const value = n === undefined ? null : source.peak[n];
    if (value !== null && (best.value === null || value > best.value)) best = {value, at: source.peak_at[n], day};
  }
  return {...best, known, wanted: period.apps.length * period.days.length};
}

/** Most viewers at once, averaged over a minute or hour, of the days on which somebody looked. */
function audience(period) {
  const app = period.apps.length > 1 ? -1 : period.apps[0];
  let best = {value: null, at: null};
  let known = 0;
  for (const day of period.days) {
    const n = audienceRows.get(`${app} ${day}`);
    if (n === undefined) continue;
    known += 1;
    const value = data.audience.viewers[n];
    if (best.value === null || value > best.value) best = {value, at: data.audience.peak_at[n]};
  }
  return {...best, known, wanted: period.days.length};
}

/** Times to live, rising, ms. */
function waits(period) {
  const found = [];
  for (const app of period.apps) {
    for (const day of period.days) {
      const n = waitRows[app].get(day);
      for (const value of n === undefined ? [] : data.waits.waits[n]) {
        if (value >= 0) found.push(value);
        else for (let again = value, last = found[found.length - 1]; again < 0; again += 1) found.push(last);
      }
    }
  }
  return Float64Array.from(found).sort();
}

/** A percentile of values in rising order, between two of them in proportion. */
function percentile(sorted, share) {
  if (!sorted.length) return null;
  const place = (sorted.length - 1) * share;
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
}

function wait(share) {
  return (period) => {
    const {known, wanted} = add(["sessions"], period);
    const value = percentile(waits(period), share);
    return {value: value === null ? null : value / 1000, known, wanted};
  };
}

/** What a period is estimated to cost, dollars: one line each of what has a rate, or would need one. */
function costLines(period) {
  const {export: exported, participant} = data.rates;
  const line = (what, name, factor, rate, note) => {
    const minutes = total(name, factor)(period);
    return {what, minutes, rate, note, value: rate === null || minutes.value === null ? null : minutes.value * rate};
  };
  return [
    line("Recordings", "recording_minutes", 1, exported, "minutes recorded"),
    line(
      "Livestreams of meetings",
      "exported_seconds",
      1 / 60,
      exported,
      "ingest minutes of livestreams that stream a meeting",
    ),
    line("Meetings, at least", "meeting_minutes", 1, participant, "session minutes, as if of one participant"),
    line(
      "Not estimated: livestreams that are not listed",
      "unplaced_seconds",
      1 / 60,
      null,
      "ingest minutes; whether they stream a meeting is unknown, so they may cost as much as those that do",
    ),
    line(
      "Not estimated: other livestreams",
      "direct_seconds",
      1 / 60,
      null,
      "ingest minutes of livestreams that stream no meeting; no rate is published",
    ),
    line("Not estimated: watch time", "viewer_seconds", 1 / 60, null, "viewer minutes; no rate is published"),
  ];
}

function cost(period) {
  const lines = costLines(period).filter((line) => line.rate !== null);
  const priced = lines.filter((line) => line.value !== null);
  return {
    value: priced.length ? priced.reduce((sum, line) => sum + line.value, 0) : null,
    known: Math.min(...lines.map((line) => line.minutes.known)),
    wanted: lines[0].minutes.wanted,
  };
}

// kind: sums can be averaged over days; of ratios and percentiles only all days together have one.
const METRICS = {
  viewer_hours: {label: "Viewer hours", unit: "h", digits: 1, kind: "sum", of: total("viewer_seconds", 1 / 3600)},
  ingest_hours: {label: "Ingest hours", unit: "h", digits: 1, kind: "sum", of: total("ingest_seconds", 1 / 3600)},
  sessions: {label: "Sessions", unit: "", digits: 0, kind: "sum", of: total("sessions", 1)},
  failed: {label: "Failed sessions", unit: "", digits: 0, kind: "sum", of: total("failed", 1)},
  viewers: {
    label: "Average concurrent viewers",
    unit: "viewers",
    digits: 1,
    kind: "ratio",
    of: ratio("paired_viewer", "paired_ingest", 1), // of sessions that report both, as in the marts
    empty: "nothing was fed in",
  },
  error_rate: {
    label: "Session error rate",
    unit: "%",
    digits: 1,
    kind: "ratio",
    of: ratio("failed", "sessions", 100),
    empty: "no session",
  },
  recordings: {label: "Recordings", unit: "", digits: 0, kind: "sum", of: total("recordings", 1)},
  recording_minutes: {
    label: "Recording minutes",
    unit: "min",
    digits: 0,
    kind: "sum",
    of: total("recording_minutes", 1),
  },
  meetings: {label: "Meeting sessions", unit: "", digits: 0, kind: "sum", of: total("meeting_sessions", 1)},
  meeting_minutes: {label: "Meeting minutes", unit: "min", digits: 0, kind: "sum", of: total("meeting_minutes", 1)},
  peak: {label: "Peak concurrent streams", unit: "streams", digits: 0, kind: "ratio", of: peak},
  p50: {label: "Time to live, p50", unit: "s", digits: 1, kind: "ratio", of: wait(0.5), empty: "nothing went live"},
  p95: {label: "Time to live, p95", unit: "s", digits: 1, kind: "ratio", of: wait(0.95), empty: "nothing went live"},
  cost: {label: "Estimated cost", unit: "$", digits: 2, kind: "sum", of: cost},
};
