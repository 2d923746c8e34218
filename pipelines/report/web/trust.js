// How far the figures can be trusted: reconciliation, what is loaded, what was set aside.

const TABLES = ["core.livestream_sessions", "core.livestream_analytics_daily", "core.meeting_sessions_daily", "core.recordings_daily"];
const TABLE_NAMES = {
  "core.livestreams": "Livestreams", "core.livestream_sessions": "Sessions", "core.livestream_analytics_daily": "API’s daily totals",
  "core.meeting_sessions_daily": "Meetings", "core.recordings_daily": "Recordings",
};
const VERDICTS = {
  match: ["good", "sessions at hand and the API’s own daily total agree"],
  unsettled: ["odd", "a session is still on air, or the day was loaded before it was over; the figures will still change"],
  sessions_missing: ["bad", "the API’s total is higher: sessions were not returned, or are set aside; the page shows too little"],
  overall_behind: ["odd", "the API’s total is lower than its own sessions: it lags, or lost some"],
  unknown: ["unknown", "there is no total of that day, or its sessions are unknown: nothing to compare"],
  not_loaded: ["unknown", "the day was never loaded"],
};

/** Verdict of an app's day. */
function verdict(app, day) {
  const n = verdictRows[app].get(day);
  return n === undefined ? "not_loaded" : data.reconciliation.verdict[n];
}

function verdictCounts(period) {
  const counts = Object.fromEntries(Object.keys(VERDICTS).map((name) => [name, 0]));
  for (const app of period.apps) for (const day of period.days) counts[verdict(app, day)] += 1;
  return counts;
}

function showVerdicts(period) {
  const counts = verdictCounts(period);
  const wanted = period.apps.length * period.days.length;
  const rows = Object.entries(VERDICTS).filter(([name]) => counts[name]).map(([name, [kind, meaning]]) => ({cells: [
    signed(kind, data.verdicts[name]), written(counts[name], 0), `${written((counts[name] / wanted) * 100, 1)} %`, meaning]}));
  showTable("table-verdicts", {
    caption: "Reconciliation, counted", note: period.apps.length > 1 ? `${counted(wanted, "app-day", "app-days")}: a day of one app each` : counted(wanted, "day", "days"),
    columns: [["Verdict", "nowrap"], ["Days", "number"], ["Share", "number"], ["Meaning", "long"]], rows, sticky: true,
  });
}

function showDifferences(period) {
  const table = data.reconciliation;
  const lines = [];
  for (const day of [...period.days].reverse()) {
    for (const app of period.apps) {
      if (!["match", "not_loaded", "unknown"].includes(verdict(app, day))) lines.push([app, day, verdictRows[app].get(day)]);
    }
  }
  const minutes = (seconds) => written(seconds === null ? null : seconds / 60, 1);
  const less = (a, b) => (a === null || b === null ? null : a - b);
  const rows = lines.slice(0, 40).map(([app, day, n]) => ({cells: [
    dayText(day), named(data.apps[app]), signed(VERDICTS[table.verdict[n]][0], data.verdicts[table.verdict[n]]),
    minutes(table.overall_ingest[n]), minutes(table.sessions_ingest[n]), minutes(less(table.overall_ingest[n], table.sessions_ingest[n])),
    minutes(table.overall_viewer[n]), minutes(table.sessions_viewer[n]), minutes(less(table.overall_viewer[n], table.sessions_viewer[n])),
    written(table.on_air[n], 0), written(table.quarantined[n], 0)]}));
  showTable("table-differences", {
    caption: "Days that do not match", sticky: true,
    note: `minutes; difference = API’s total − sessions${lines.length > 40 ? `; the latest 40 of ${written(lines.length, 0)}` : ""}`,
    columns: [["Day", "nowrap"], ["App", "long"], ["Verdict", "nowrap"], ["Ingest: API", "number"], ["sessions", "number"], ["difference", "number"],
      ["Viewer: API", "number"], ["sessions", "number"], ["difference", "number"], ["On air", "number"], ["Set aside", "number"]],
    rows, nothing: "none in this period.",
  });
}

/** Of each app and table: in which state the days of the period are. */
function stateOf(app, day, table) {
  const states = figure("states", app, day);
  return states === null ? "-" : states[table];
}

function coverageLines(period) {
  const lines = [];
  for (const app of period.apps) {
    TABLES.forEach((name, table) => {
      const line = {app, name, k: [], p: [], u: [], "-": []};
      for (const day of period.days) line[stateOf(app, day, table)].push(day);
      const held = [...dayRows[app].keys()].filter((day) => stateOf(app, day, table) !== "-");
      [line.first, line.last] = held.length ? [held[0], held[held.length - 1]] : [Infinity, -Infinity];
      line.gaps = line["-"].filter((day) => day > line.first && day < line.last);
      lines.push(line);
    });
  }
  return lines;
}

function showCoverage(period, lines) {
  const count = (days, kind) => (days.length ? signed(kind, written(days.length, 0)) : "0");
  const rows = lines.map((line) => ({cells: [named(data.apps[line.app]), TABLE_NAMES[line.name],
    written(line.k.length, 0), count(line.p, "odd"), count(line.u, "unknown"), count(line.gaps, "bad"),
    count(line["-"].filter((day) => !line.gaps.includes(day)), "unknown"),
    line.first > line.last ? DASH : rangeText(line.first, line.last)]}));
  showTable("table-coverage", {
    caption: "What is loaded", note: `days of this period (${counted(period.days.length, "day", "days")}), by app and source`, sticky: true,
    columns: [["App", "long"], ["Figures", "nowrap"], ["Known", "number"], ["Known, but loaded before the day was over", "number"], ["Unknown: the source had forgotten", "number"],
      ["Gaps: left out", "number"], ["Before or after what was loaded", "number"], ["Loaded from – to", "nowrap"]], rows,
  });
  const kinds = [["gap", "gaps", "bad", ["never loaded: ", el("code", {}, "livehouse backfill"), " loads them"]],
    ["unknown", "u", "unknown", ["the source no longer remembers them"]],
    ["not settled", "p", "odd", ["loaded before the day was over: the next nightly run settles them"]]];
  const missing = [];
  for (const app of period.apps) {
    for (const [what, key, kind, why] of kinds) {
      const alike = new Map();
      for (const line of lines.filter((one) => one.app === app && one[key].length)) {
        const days = rangesText(line[key]);
        alike.set(days, [...(alike.get(days) || []), TABLE_NAMES[line.name]]);
      }
      for (const [days, figures] of alike) {
        missing.push({cells: [signed(kind, what), named(data.apps[app]), figures.length === TABLES.length ? "all" : figures.join(", "), days,
          why.map((part) => (typeof part === "string" ? part : part.cloneNode(true)))]});
      }
    }
  }
  showTable("table-missing", {
    caption: "Days that are missing, unknown or not settled", sticky: true,
    columns: [["What", "nowrap"], ["App", "long"], ["Figures", "long"], ["Days", "long"], ["Why", "long"]], rows: missing,
    nothing: "none between the first and last day loaded.",
  });
}

function groupsIn(table, period) {
  const [from, to] = [period.days[0], period.days[period.days.length - 1]];
  return table.app.map((app, n) => n).filter((n) => period.apps.includes(table.app[n]) && (table.day[n] === null || (table.day[n] >= from && table.day[n] <= to)));
}

function sumOf(table, rows) { return rows.reduce((sum, n) => sum + table.records[n], 0); }

function showAside(period) {
  const {quarantine, shrinks} = data;
  const aside = groupsIn(quarantine, period);
  const day = (value) => (value === null ? "no day" : dayText(value));
  const more = (rows) => (rows.length > 40 ? `; the 40 largest of ${written(rows.length, 0)} groups` : "");
  const partial = sumOf(quarantine, quarantine.records.map((_, n) => n)) < data.quarantined ? "; only the largest groups of the warehouse are in this page" : "";
  showTable("table-quarantine", {
    caption: "Records set aside (quarantine)", sticky: true,
    note: `${counted(sumOf(quarantine, aside), "record", "records")} missing from the figures until they arrive whole${more(aside)}${partial}`,
    columns: [["Day", "nowrap"], ["App", "long"], ["Of", "nowrap"], ["Field", "long"], ["Reason", "long"], ["Records", "number"], ["One of them", "long"]],
    rows: aside.slice(0, 40).map((n) => ({cells: [day(quarantine.day[n]), named(data.apps[quarantine.app[n]]), TABLE_NAMES[quarantine.table_name[n]] || quarantine.table_name[n],
      named(quarantine.field[n]), named(quarantine.reason[n]), written(quarantine.records[n], 0), named(quarantine.example[n] || DASH)]})),
    nothing: "none in this period.",
  });
  const shrunk = groupsIn(shrinks, period);
  showTable("table-shrinks", {
    caption: "Where the source now says less than before", sticky: true,
    note: `${counted(sumOf(shrinks, shrunk), "record", "records")}; the older figures stand and are shown${more(shrunk)}`,
    columns: [["Day", "nowrap"], ["App", "long"], ["Of", "nowrap"], ["What happened", "long"], ["Records", "number"]],
    rows: shrunk.slice(0, 40).map((n) => ({cells: [day(shrinks.day[n]), named(data.apps[shrinks.app[n]]), TABLE_NAMES[shrinks.table_name[n]] || shrinks.table_name[n], named(shrinks.reason[n]), written(shrinks.records[n], 0)]})),
    nothing: "nowhere in this period.",
  });
}

function showCaveats(period) {
  const caveats = [
    ["without_figures", "went live but report no ingest or watch time: they add nothing to the hours, so these are too low"],
    ["unfinished", "had neither stopped nor failed 24 hours after they began, as last received"],
    ["never_started", "never went live"],
  ].map(([name, meaning]) => [total(name, 1)(period).value, meaning]);
  const unplaced = total("unplaced_seconds", 1 / 60)(period).value;
  if (unplaced) caveats.push([unplaced, "ingest minutes of livestreams that are not listed: not in the estimate, since it is unknown whether they stream a meeting"]);
  showTable("table-caveats", {
    caption: "Worth knowing of the sessions", columns: [["What", "long"], ["How many", "number"]],
    rows: caveats.filter(([value]) => value).map(([value, meaning]) => ({cells: [meaning, written(value, 0)]})),
    nothing: "all went live, ended, and report their figures, on the days that are known.",
  });
}

function showLoads() {
  const {loads} = data;
  showTable("table-loads", {
    caption: "Latest loads", note: "received = landed + set aside + duplicates", sticky: true,
    columns: [["Finished", "nowrap"], ["App", "long"], ["Days asked for", "nowrap"], ["Requests", "number"], ["Retries", "number"], ["Received", "number"],
      ["Landed", "number"], ["Set aside", "number"], ["Duplicates", "number"], ["Out of the ordinary", "long"]],
    rows: loads.app.map((app, n) => ({cells: [timeText(loads.finished_at[n]), named(data.apps[app]),
      loads.first_day[n] ? `${loads.first_day[n]} – ${loads.last_day[n]}` : DASH, ...["requests", "retries", "received", "landed", "quarantined", "duplicates"].map((name) => written(loads[name][n], 0)),
      named(loads.note[n] || DASH)]})),
    nothing: "none is on record.",
  });
}

/** The short answer, at the top of the page. */
function showTrustLine(period, lines) {
  const counts = verdictCounts(period);
  const aside = sumOf(data.quarantine, groupsIn(data.quarantine, period));
  const distinct = (key) => new Set(lines.flatMap((line) => line[key].map((day) => `${line.app} ${day}`))).size;
  const [gaps, unknown] = [distinct("gaps"), distinct("u")];
  const judged = counts.match + counts.sessions_missing + counts.overall_behind;
  const unit = period.apps.length > 1 ? "app-day" : "day";
  const items = [
    [!judged ? "unknown" : counts.match === judged ? "good" : "bad",
      judged ? `${written(counts.match, 0)} of ${counted(judged, `settled ${unit}`, `settled ${unit}s`)} ${judged === 1 ? "matches" : "match"} the API’s own totals` : "no day can be reconciled"],
    [aside ? "odd" : "good", aside ? `${counted(aside, "record", "records")} set aside` : "no record set aside"],
    [gaps ? "bad" : "good", gaps ? counted(gaps, `${unit} left out`, `${unit}s left out`) : "no gaps"],
  ];
  if (unknown) items.push(["unknown", counted(unknown, `unknown ${unit}`, `unknown ${unit}s`)]);
  if (counts.unsettled) items.push(["odd", counted(counts.unsettled, `unsettled ${unit}`, `unsettled ${unit}s`)]);
  const loaded = Math.max(...data.days.loaded_at);
  document.getElementById("trust-line").replaceChildren(...items.map(([kind, text]) => el("a", {href: "#trust"}, signed(kind, text))),
    el("span", {class: "note-inline"}, `Last loaded ${timeText(loaded)}`));
}

function showTrust(period) {
  const lines = coverageLines(period);
  showTrustLine(period, lines);
  showVerdicts(period);
  showDifferences(period);
  showCoverage(period, lines);
  showAside(period);
  showCaveats(period);
  showLoads();
}
