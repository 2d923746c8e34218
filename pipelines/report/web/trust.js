// How far the figures can be trusted: reconciliation, and which days are loaded, unknown or left out.

const TABLES = [
  "core.livestream_sessions",
  "core.livestream_analytics_daily",
  "core.meeting_sessions_daily",
  "core.recordings_daily",
];
const TABLE_NAMES = {
  "core.livestreams": "Livestreams",
  "core.livestream_sessions": "Sessions",
  "core.livestream_analytics_daily": "API’s daily totals",
  "core.meeting_sessions_daily": "Meetings",
  "core.recordings_daily": "Recordings",
};
const VERDICTS = {
  match: ["good", "sessions at hand and the API’s own daily total agree"],
  unsettled: [
    "odd",
    "a session had not ended, or the day was loaded before it was over; the figures are provisional and will still change",
  ],
  sessions_missing: [
    "bad",
    "the API’s total is higher: sessions were not returned, or are set aside; the page shows too little",
  ],
  overall_behind: ["odd", "the API’s total is lower than its own sessions: it lags, or lost some"],
  unknown: ["unknown", "there is no total of that day, its sessions are unknown, or a sum is too large: nothing to compare"],
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
  const rows = Object.entries(VERDICTS)
    .filter(([name]) => counts[name])
    .map(([name, [kind, meaning]]) => ({
      cells: [
        signed(kind, data.verdicts[name]),
        written(counts[name], 0),
        `${written((counts[name] / wanted) * 100, 1)} %`,
        meaning,
      ],
    }));
  showTable("table-verdicts", {
    caption: "Reconciliation, counted",
    note:
      period.apps.length > 1
        ? `${counted(wanted, "app-day", "app-days")}: a day of one app each`
        : counted(wanted, "day", "days"),
    columns: [
      ["Verdict", "nowrap"],
      ["Days", "number"],
      ["Share", "number"],
      ["Meaning", "long"],
    ],
    rows,
    sticky: true,
  });
}

function showDifferences(period) {
  const table = data.reconciliation;
  const lines = [];
  for (const day of [...period.days].reverse()) {
    for (const app of period.apps) {
      if (!["match", "not_loaded", "unknown"].includes(verdict(app, day)))
        lines.push([app, day, verdictRows[app].get(day)]);
    }
  }
  const minutes = (seconds) => written(seconds === null ? null : seconds / 60, 1);
  const less = (a, b) => (a === null || b === null ? null : a - b);
  const rows = lines.slice(0, 40).map(([app, day, n]) => ({
    cells: [
      dayText(day),
      named(data.apps[app]),
      signed(VERDICTS[table.verdict[n]][0], data.verdicts[table.verdict[n]]),
      minutes(table.overall_ingest[n]),
      minutes(table.sessions_ingest[n]),
      minutes(less(table.overall_ingest[n], table.sessions_ingest[n])),
      minutes(table.overall_viewer[n]),
      minutes(table.sessions_viewer[n]),
      minutes(less(table.overall_viewer[n], table.sessions_viewer[n])),
      written(table.on_air[n], 0),
      written(table.quarantined[n], 0),
    ],
  }));
  showTable("table-differences", {
    caption: "Days that do not match, or not yet",
    sticky: true,
    note: clauses(
      "minutes",
      "difference = API’s total − sessions",
      lines.length > 40 ? `the latest 40 of ${written(lines.length, 0)}` : "",
    ),
    columns: [
      ["Day", "nowrap"],
      ["App", "long"],
      ["Verdict", "nowrap"],
      ["Ingest: API", "number"],
      ["sessions", "number"],
      ["difference", "number"],
      ["Viewer: API", "number"],
      ["sessions", "number"],
      ["difference", "number"],
      ["Not ended", "number"],
      ["Set aside", "number"],
    ],
    rows,
    nothing: "none in this period.",
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
  const alike = new Map(); // of an app, figures whose days are the same are one row
  for (const line of lines) {
    const key = JSON.stringify({...line, name: ""});
    alike.set(key, [...(alike.get(key) || []), line]);
  }
  const rows = [...alike.values()].map((same) => {
    const [line] = same;
    return {
      cells: [
        named(data.apps[line.app]),
        same.length === TABLES.length ? "all" : same.map(({name}) => TABLE_NAMES[name]).join(", "),
        written(line.k.length, 0),
        count(line.p, "odd"),
        count(line.u, "unknown"),
        count(line.gaps, "bad"),
        count(
          line["-"].filter((day) => !line.gaps.includes(day)),
          "unknown",
        ),
        line.first > line.last ? DASH : rangeText(line.first, line.last),
      ],
    };
  });
  showTable("table-coverage", {
    caption: "What is loaded",
    note: `days of this period (${counted(period.days.length, "day", "days")}), by app and source`,
    sticky: true,
    columns: [
      ["App", "long"],
      ["Figures", "long"],
      ["Known", "number"],
      ["Known, but provisional", "number"],
      ["Unknown: the source had forgotten", "number"],
      ["Gaps: left out", "number"],
      ["Before or after what was loaded", "number"],
      ["Loaded from – to", "nowrap"],
    ],
    rows,
  });
  const kinds = [
    ["gap", "gaps", "bad", ["never loaded: ", el("code", {}, "livehouse backfill"), " loads them"]],
    ["unknown", "u", "unknown", ["the source no longer remembers them"]],
    ["not settled", "p", "odd", ["loaded before the day was over, or a session had not ended: the next nightly run settles them"]],
  ];
  const missing = [];
  for (const app of period.apps) {
    for (const [what, key, kind, why] of kinds) {
      const alike = new Map();
      for (const line of lines.filter((one) => one.app === app && one[key].length)) {
        const days = rangesText(line[key]);
        alike.set(days, [...(alike.get(days) || []), TABLE_NAMES[line.name]]);
      }
      for (const [days, figures] of alike) {
        missing.push({
          cells: [
            signed(kind, what),
            named(data.apps[app]),
            figures.length === TABLES.length ? "all" : figures.join(", "),
            days,
            why.map((part) => (typeof part === "string" ? part : part.cloneNode(true))),
          ],
        });
      }
    }
  }
  showTable("table-missing", {
    caption: "Days that are missing, unknown or not settled",
    sticky: true,
    columns: [
      ["What", "nowrap"],
      ["App", "long"],
      ["Figures", "long"],
      ["Days", "long"],
      ["Why", "long"],
    ],
    rows: missing,
    nothing: "none between the first and last day loaded.",
  });
}
