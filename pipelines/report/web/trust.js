// How far the figures can be trusted: reconciliation, and which days are loaded, unknown or missing.

/** @type {Record<string, string>} */
const TABLE_LABELS = {"core.livestreams": "Livestreams", ...data.tables};
const DAILY_TABLES = Object.keys(data.tables);

const VERDICT_NAMES = /** @type {VerdictName[]} */ (Object.keys(data.verdicts));

/**
 * @param {number} app
 * @param {number} day
 */
function getVerdict(app, day) {
  const n = findRow("reconciliation", app, day);
  return n === undefined ? "not_loaded" : data.reconciliation.verdict[n];
}

/** @param {VerdictName} name */
function formatVerdict(name) {
  return withSign(data.verdicts[name].kind, data.verdicts[name].label);
}

/**
 * Days up to the last one loaded: later days of this month are to come, and neither missing nor unknown.
 * @param {Period} period
 */
function listPastDays(period) {
  return period.days.filter((day) => day <= LAST_DAY);
}

/** @param {Period} period */
function countVerdicts(period) {
  const counts = /** @type {Record<VerdictName, number>} */ (
    Object.fromEntries(VERDICT_NAMES.map((name) => [name, 0]))
  );
  for (const app of period.apps) for (const day of listPastDays(period)) counts[getVerdict(app, day)] += 1;
  return counts;
}

/** @param {Period} period */
function showVerdicts(period) {
  const counts = countVerdicts(period);
  const days = period.apps.length * listPastDays(period).length;
  showTable("table-verdicts", {
    caption: "Reconciliation: days by verdict",
    note:
      period.apps.length > 1
        ? `${formatCount(days, "app-day", "app-days")}: one day of one app each`
        : formatCount(days, "day", "days"),
    columns: [
      ["Verdict", "nowrap"],
      ["Days", "number"],
      ["Share", "number"],
      ["Meaning", "long"],
    ],
    rows: VERDICT_NAMES.filter((name) => counts[name]).map((name) => ({
      cells: [
        formatVerdict(name),
        formatNumber(counts[name], 0),
        `${formatNumber((counts[name] / days) * 100, 1)} %`,
        data.verdicts[name].meaning,
      ],
    })),
    isSticky: true,
  });
}

/** @param {Period} period */
function showDifferences(period) {
  const table = data.reconciliation;
  /** @type {number[]} */
  const found = [];
  for (const day of [...period.days].reverse()) {
    for (const app of period.apps) {
      const n = findRow("reconciliation", app, day);
      if (n !== undefined && !["match", "unknown"].includes(table.verdict[n])) found.push(n);
    }
  }
  /** @type {(seconds: Cell) => string} */
  const minutes = (seconds) => formatNumber(seconds === null ? null : seconds / 60, 1);
  showTable("table-differences", {
    caption: "Days that do not match, or cannot be compared yet",
    isSticky: true,
    note: joinParts(
      "minutes",
      "difference = API’s total − sessions",
      found.length > 40 ? `the latest 40 of ${formatNumber(found.length, 0)}` : "",
    ),
    columns: [
      ["Day", "nowrap"],
      ["App", "long"],
      ["Verdict", "nowrap"],
      ["Ingest: API", "number"],
      ["Ingest: sessions", "number"],
      ["Ingest: difference", "number"],
      ["Viewers: API", "number"],
      ["Viewers: sessions", "number"],
      ["Viewers: difference", "number"],
      ["Sessions not ended", "number"],
      ["In quarantine", "number"],
    ],
    rows: found.slice(0, 40).map((n) => ({
      cells: [
        formatDay(table.day[n]),
        isolateText(data.apps[table.app[n]]),
        formatVerdict(table.verdict[n]),
        minutes(table.overall_ingest[n]),
        minutes(table.sessions_ingest[n]),
        minutes(table.ingest_difference[n]),
        minutes(table.overall_viewer[n]),
        minutes(table.sessions_viewer[n]),
        minutes(table.viewer_difference[n]),
        formatNumber(table.provisional[n], 0),
        formatNumber(table.quarantined[n], 0),
      ],
    })),
    nothing: "none in this period.",
  });
}

/**
 * @typedef {object} CoverageLine the days of the period of one app and table, by state
 * @property {number} app
 * @property {string} table
 * @property {Record<DayState | "outside", number[]>} days
 * @property {Cell} first day loaded, in any period
 * @property {Cell} last
 * @property {Cell} attempts of nightly runs to load the gaps
 * @property {Cell} triedAt
 */

/**
 * @param {number} app
 * @param {string} table
 * @param {number[]} days
 * @returns {CoverageLine}
 */
function readCoverage(app, table, days) {
  const ranges = data.coverage;
  /** @type {CoverageLine} */
  const line = {
    app,
    table,
    days: {known: [], provisional: [], unknown: [], gap: [], outside: []},
    first: null,
    last: null,
    attempts: null,
    triedAt: null,
  };
  /** @type {Set<number>} */
  const inside = new Set();
  ranges.app.forEach((of, n) => {
    if (of !== app || ranges.table_name[n] !== table) return;
    const [from, to] = [ranges.first_day[n], ranges.last_day[n]];
    if (ranges.state[n] !== "gap") [line.first, line.last] = [line.first ?? from, to];
    const found = listDays(Math.max(from, days[0]), Math.min(to, days[days.length - 1]));
    for (const day of found) {
      line.days[ranges.state[n]].push(day);
      inside.add(day);
    }
    if (found.length && ranges.attempts[n] !== null) {
      line.attempts = Math.max(line.attempts ?? 0, ranges.attempts[n]);
      line.triedAt = Math.max(line.triedAt ?? 0, ranges.tried_at[n] ?? 0);
    }
  });
  line.days.outside = days.filter((day) => !inside.has(day));
  return line;
}

/** @param {Period} period */
function listCoverage(period) {
  return period.apps.flatMap((app) => DAILY_TABLES.map((table) => readCoverage(app, table, listPastDays(period))));
}

/** @param {CoverageLine[]} lines */
function formatTables(lines) {
  return lines.length === DAILY_TABLES.length ? "all" : lines.map(({table}) => TABLE_LABELS[table]).join(", ");
}

/**
 * @param {Period} period
 * @param {CoverageLine[]} lines
 */
function showCoverage(period, lines) {
  /** @type {(days: number[], kind: Kind) => Content} */
  const count = (days, kind) => (days.length ? withSign(kind, formatNumber(days.length, 0)) : "0");
  const groups = groupBy(lines, (line) => JSON.stringify({...line, table: ""}));
  showTable("table-coverage", {
    caption: "Loaded days",
    note: `days of this period (${formatCount(listPastDays(period).length, "day", "days")}), by app and source`,
    isSticky: true,
    columns: [
      ["App", "long"],
      ["Figures", "long"],
      ["Known", "number"],
      ["Known, but provisional", "number"],
      ["Unknown: no longer kept by the source", "number"],
      ["Missing: gaps", "number"],
      ["Before or after the loaded days", "number"],
      ["Loaded from – to", "nowrap"],
    ],
    rows: groups.map((group) => {
      const [{app, days, first, last}] = group;
      return {
        cells: [
          isolateText(data.apps[app]),
          formatTables(group),
          formatNumber(days.known.length, 0),
          count(days.provisional, "warning"),
          count(days.unknown, "unknown"),
          count(days.gap, "bad"),
          count(days.outside, "unknown"),
          first === null || last === null ? DASH : formatRange(first, last),
        ],
      };
    }),
  });
}

/**
 * Why days are in a state, and what to do about it.
 * @param {CoverageLine} line
 * @param {"gap" | "unknown" | "provisional"} state
 * @returns {Content[]}
 */
function explainState({attempts, triedAt}, state) {
  if (state === "unknown") return ["the source no longer keeps them"];
  if (state === "provisional") {
    return ["loaded before the day was over, or a session had not ended: the next nightly run settles them"];
  }
  const tried =
    attempts === null
      ? "not loaded: "
      : `not loaded, although ${formatCount(attempts, "nightly run", "nightly runs")} tried, last on ${formatTime(triedAt)}: `;
  return [tried, createElement("code", {}, "livehouse backfill"), " loads them"];
}

/**
 * @param {Period} period
 * @param {CoverageLine[]} lines
 */
function showMissing(period, lines) {
  /** @type {["gap" | "unknown" | "provisional", string, Kind][]} */
  const states = [
    ["gap", "gap", "bad"],
    ["unknown", "unknown", "unknown"],
    ["provisional", "not settled", "warning"],
  ];
  const rows = period.apps.flatMap((app) =>
    states.flatMap(([state, label, kind]) => {
      const found = lines.filter((line) => line.app === app && line.days[state].length);
      return groupBy(found, ({days}) => formatRanges(days[state])).map((group) => ({
        cells: [
          withSign(kind, label),
          isolateText(data.apps[app]),
          formatTables(group),
          formatRanges(group[0].days[state]),
          explainState(group[0], state),
        ],
      }));
    }),
  );
  showTable("table-missing", {
    caption: "Days that are missing, unknown or not settled",
    isSticky: true,
    columns: [
      ["State", "nowrap"],
      ["App", "long"],
      ["Figures", "long"],
      ["Days", "long"],
      ["Why", "long"],
    ],
    rows,
    nothing: "none between the first and the last day loaded.",
  });
}
