// Incidents, records that are missing from the figures, quarantined or shrunk, and the latest loads.

/**
 * Rows of records, or groups of them, that concern the period; those without a day concern every period.
 * @param {RecordTable} table
 * @param {Period} period
 */
function findRecords(table, period) {
  return table.day.flatMap((day, n) =>
    period.apps.includes(table.app[n]) && (day === null || isWithin(day, period)) ? [n] : [],
  );
}

/**
 * @param {GroupTable} table
 * @param {number[]} rows
 */
function countRecords(table, rows) {
  return rows.reduce((sum, n) => sum + table.records[n], 0);
}

/**
 * Groups merged over apps and days, the largest first.
 * @param {GroupTable} table
 * @param {number[]} rows
 * @param {(n: number) => string} key
 */
function mergeGroups(table, rows, key) {
  return groupBy(rows, (n) => key(n))
    .map((group) => ({
      n: group[0],
      records: countRecords(table, group),
      apps: [...new Set(group.map((n) => table.app[n]))],
      days: [...new Set(group.map((n) => table.day[n]))],
    }))
    .sort((a, b) => b.records - a.records || a.n - b.n);
}

/** @param {number[]} apps */
function formatApps(apps) {
  if (apps.length > 3) return [formatCount(apps.length, "app", "apps")];
  return apps.flatMap((app, n) => [n ? ", " : "", isolateText(data.apps[app])]);
}

/** @param {Cell[]} days */
function formatGroupDays(days) {
  const known = days.flatMap((day) => (day === null ? [] : [day])).sort((a, b) => a - b);
  return known.length ? formatRanges(known) : "no day";
}

/** @param {unknown[]} groups */
function formatLimit(groups) {
  return groups.length > 40 ? `the 40 largest of ${formatNumber(groups.length, 0)} kinds` : "";
}

/** @param {string} name */
function labelTable(name) {
  return TABLE_LABELS[name] ?? name;
}

/** @param {Period} period */
function showQuarantine(period) {
  const table = data.quarantine;
  const found = findRecords(table, period);
  const groups = mergeGroups(table, found, (n) =>
    JSON.stringify([table.table_name[n], table.field[n], table.reason[n]]),
  );
  const isPartial = countRecords(table, [...table.records.keys()]) < data.quarantined;
  showTable("table-quarantine", {
    caption: "Records in quarantine",
    isSticky: true,
    note: joinParts(
      `${formatCount(countRecords(table, found), "record", "records")} missing from the figures until they arrive with valid values`,
      formatLimit(groups),
      isPartial ? "the page holds only the largest groups" : "",
    ),
    columns: [
      ["Table", "nowrap"],
      ["Field", "long"],
      ["Reason", "long"],
      ["Records", "number"],
      ["App", "long"],
      ["Days", "long"],
      ["Example", "long"],
    ],
    rows: groups.slice(0, 40).map(({n, records, apps, days}) => ({
      cells: [
        labelTable(table.table_name[n]),
        isolateText(table.field[n]),
        isolateText(table.reason[n]),
        formatNumber(records, 0),
        formatApps(apps),
        formatGroupDays(days),
        isolateText(table.example[n] || DASH),
      ],
    })),
    nothing: "none in this period.",
  });
}

/** @param {Period} period */
function showShrinks(period) {
  const table = data.shrinks;
  const found = findRecords(table, period);
  const groups = mergeGroups(table, found, (n) => JSON.stringify([table.table_name[n], table.reason[n]]));
  showTable("table-shrinks", {
    caption: "Records of which the source now reports less than before",
    isSticky: true,
    note: joinParts(
      formatCount(countRecords(table, found), "record", "records"),
      "the older figures are kept and shown",
      formatLimit(groups),
    ),
    columns: [
      ["Table", "nowrap"],
      ["Change", "long"],
      ["Records", "number"],
      ["App", "long"],
      ["Days", "long"],
    ],
    rows: groups.slice(0, 40).map(({n, records, apps, days}) => ({
      cells: [
        labelTable(table.table_name[n]),
        isolateText(table.reason[n]),
        formatNumber(records, 0),
        formatApps(apps),
        formatGroupDays(days),
      ],
    })),
    nothing: "none in this period.",
  });
}

/** @param {Period} period */
function showCaveats(period) {
  const unplaced = sumColumn("unplaced_seconds", period);
  /** @type {[Cell, string][]} */
  const caveats = [
    [
      sumColumn("without_figures", period),
      "sessions that went live but report no ingest or watch time: they add nothing to the hours, which are too low",
    ],
    [sumColumn("unfinished", period), "sessions that had neither stopped nor failed 24 hours after they began"],
    [sumColumn("never_started", period), "sessions that never went live"],
    [
      unplaced === null ? null : unplaced / 60,
      "ingest minutes of livestreams that are not listed: whether they stream a meeting is unknown, so the estimate omits them",
    ],
  ];
  showTable("table-caveats", {
    caption: "Unusual sessions",
    columns: [
      ["What", "long"],
      ["How many", "number"],
    ],
    rows: caveats.filter(([value]) => value).map(([value, meaning]) => ({cells: [meaning, formatNumber(value, 0)]})),
    nothing: "none: on the days that are known, all went live, ended, and report their figures.",
  });
}

/** @type {Record<Figures["incidents"]["state"][number], [Kind, string]>} */
const INCIDENT_STATES = {open: ["bad", "open"], over: ["good", "over"], corrected: ["good", "corrected"]};

/** Open incidents, and those closed lately, of every period; each leads to its days. */
function showIncidents() {
  const {incidents} = data;
  showTable("table-incidents", {
    caption: "Incidents",
    note: "days in violation of an alert rule: open ones, and those that ended in the last week",
    isSticky: true,
    columns: [
      ["State", "nowrap"],
      ["Rule", "nowrap"],
      ["App", "long"],
      ["Days", "nowrap"],
      ["Incident", "long"],
    ],
    rows: incidents.rule.slice(0, 40).map((rule, n) => ({
      cells: [
        withSign(...INCIDENT_STATES[incidents.state[n]]),
        rule,
        incidents.app[n] === null ? "all" : isolateText(data.apps[incidents.app[n]]),
        linkDays(incidents.first_day[n], incidents.last_day[n], incidents.app[n]),
        isolateText(incidents.text[n]),
      ],
    })),
    nothing: "none is open, and none ended in the last week.",
  });
}

/**
 * A link to the days of an app on this page.
 * @param {Cell} from
 * @param {Cell} to
 * @param {Cell} app null for all apps
 */
function linkDays(from, to, app) {
  if (from === null || to === null) return "now";
  const state = new URLSearchParams({from: toIsoDay(from), to: toIsoDay(to)});
  if (app !== null) state.set("app", data.apps[app]);
  return createElement("a", {href: `#${state}`}, formatRange(from, to));
}

function showLoads() {
  const {loads} = data;
  showTable("table-loads", {
    caption: "Latest loads",
    note: "received = landed + quarantined + duplicates",
    isSticky: true,
    columns: [
      ["Finished", "nowrap"],
      ["App", "long"],
      ["Days requested", "nowrap"],
      ["Requests", "number"],
      ["Retries", "number"],
      ["Received", "number"],
      ["Landed", "number"],
      ["Quarantined", "number"],
      ["Duplicates", "number"],
      ["Notes", "long"],
    ],
    rows: loads.app.map((app, n) => ({
      cells: [
        formatTime(loads.finished_at[n]),
        isolateText(data.apps[app]),
        loads.first_day[n] ? formatRange(parseIsoDay(loads.first_day[n]), parseIsoDay(loads.last_day[n])) : DASH,
        formatNumber(loads.requests[n], 0),
        formatNumber(loads.retries[n], 0),
        formatNumber(loads.received[n], 0),
        formatNumber(loads.landed[n], 0),
        formatNumber(loads.quarantined[n], 0),
        formatNumber(loads.duplicates[n], 0),
        isolateText(loads.note[n] || DASH),
      ],
    })),
    nothing: "none is on record.",
  });
}

/**
 * @param {Period} period
 * @param {CoverageLine[]} lines
 */
function showTrust(period, lines) {
  showAnswer(period, lines);
  showIncidents();
  showVerdicts(period);
  showDifferences(period);
  showCoverage(period, lines);
  showMissing(period, lines);
  showQuarantine(period);
  showShrinks(period);
  showCaveats(period);
  showLoads();
}
