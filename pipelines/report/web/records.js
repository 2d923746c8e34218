// What is in the figures not or only in part: records set aside or shrunk. What loads did.

function groupsIn(table, period) {
  const [from, to] = [period.days[0], period.days[period.days.length - 1]];
  return table.app
    .map((app, n) => n)
    .filter(
      (n) =>
        period.apps.includes(table.app[n]) && (table.day[n] === null || (table.day[n] >= from && table.day[n] <= to)),
    );
}

function sumOf(table, rows) {
  return rows.reduce((sum, n) => sum + table.records[n], 0);
}

/** Rows that say the same of different apps and days, as one: the largest first. */
function alike(table, rows, columns) {
  const found = new Map();
  for (const n of rows) {
    const key = JSON.stringify(columns.map((column) => table[column][n]));
    const group = found.get(key) || {n, records: 0, apps: new Set(), days: new Set()};
    group.records += table.records[n];
    group.apps.add(table.app[n]);
    group.days.add(table.day[n]);
    found.set(key, group);
  }
  return [...found.values()].sort((a, b) => b.records - a.records || a.n - b.n);
}

function appsText(apps) {
  const names = [...apps].map((app) => named(data.apps[app]));
  if (names.length > 3) return counted(names.length, "app", "apps");
  return names.flatMap((name, n) => (n ? [", ", name] : [name]));
}

function daysOf(days) {
  const known = [...days].filter((day) => day !== null).sort((a, b) => a - b);
  return known.length ? rangesText(known) : "not of a day";
}

function showAside(period) {
  const {quarantine, shrinks} = data;
  const aside = groupsIn(quarantine, period);
  const kinds = alike(quarantine, aside, ["table_name", "field", "reason"]);
  const more = (groups) => (groups.length > 40 ? `the 40 largest of ${written(groups.length, 0)} kinds` : "");
  const all = quarantine.records.map((_, n) => n);
  const isPartial = sumOf(quarantine, all) < data.quarantined;
  showTable("table-quarantine", {
    caption: "Records set aside (quarantine)",
    sticky: true,
    note: clauses(
      `${counted(sumOf(quarantine, aside), "record", "records")} missing from the figures until they arrive whole`,
      more(kinds),
      isPartial ? "only the largest groups of the warehouse are in this page" : "",
    ),
    columns: [
      ["Of", "nowrap"],
      ["Field", "long"],
      ["Reason", "long"],
      ["Records", "number"],
      ["App", "long"],
      ["Days", "long"],
      ["One of them", "long"],
    ],
    rows: kinds.slice(0, 40).map(({n, records, apps, days}) => ({
      cells: [
        TABLE_NAMES[quarantine.table_name[n]] || quarantine.table_name[n],
        named(quarantine.field[n]),
        named(quarantine.reason[n]),
        written(records, 0),
        appsText(apps),
        daysOf(days),
        named(quarantine.example[n] || DASH),
      ],
    })),
    nothing: "none in this period.",
  });
  const shrunk = groupsIn(shrinks, period);
  const losses = alike(shrinks, shrunk, ["table_name", "reason"]);
  showTable("table-shrinks", {
    caption: "Where the source now says less than before",
    sticky: true,
    note: clauses(
      counted(sumOf(shrinks, shrunk), "record", "records"),
      "the older figures stand and are shown",
      more(losses),
    ),
    columns: [
      ["Of", "nowrap"],
      ["What happened", "long"],
      ["Records", "number"],
      ["App", "long"],
      ["Days", "long"],
    ],
    rows: losses.slice(0, 40).map(({n, records, apps, days}) => ({
      cells: [
        TABLE_NAMES[shrinks.table_name[n]] || shrinks.table_name[n],
        named(shrinks.reason[n]),
        written(records, 0),
        appsText(apps),
        daysOf(days),
      ],
    })),
    nothing: "nowhere in this period.",
  });
}

function showCaveats(period) {
  const caveats = [
    [
      "without_figures",
      "went live but report no ingest or watch time: they add nothing to the hours, so these are too low",
    ],
    ["unfinished", "had neither stopped nor failed 24 hours after they began, as last received"],
    ["never_started", "never went live"],
  ].map(([name, meaning]) => [total(name, 1)(period).value, meaning]);
  const unplaced = total("unplaced_seconds", 1 / 60)(period).value;
  if (unplaced)
    caveats.push([
      unplaced,
      "ingest minutes of livestreams that are not listed: not in the estimate, unknown whether they stream a meeting",
    ]);
  showTable("table-caveats", {
    caption: "Worth knowing of the sessions",
    columns: [
      ["What", "long"],
      ["How many", "number"],
    ],
    rows: caveats.filter(([value]) => value).map(([value, meaning]) => ({cells: [meaning, written(value, 0)]})),
    nothing: "all went live, ended, and report their figures, on the days that are known.",
  });
}

function showLoads() {
  const {loads} = data;
  showTable("table-loads", {
    caption: "Latest loads",
    note: "received = landed + set aside + duplicates",
    sticky: true,
    columns: [
      ["Finished", "nowrap"],
      ["App", "long"],
      ["Days asked for", "nowrap"],
      ["Requests", "number"],
      ["Retries", "number"],
      ["Received", "number"],
      ["Landed", "number"],
      ["Set aside", "number"],
      ["Duplicates", "number"],
      ["Out of the ordinary", "long"],
    ],
    rows: loads.app.map((app, n) => ({
      cells: [
        timeText(loads.finished_at[n]),
        named(data.apps[app]),
        loads.first_day[n] ? `${loads.first_day[n]} – ${loads.last_day[n]}` : DASH,
        ...["requests", "retries", "received", "landed", "quarantined", "duplicates"].map((name) =>
          written(loads[name][n], 0),
        ),
        named(loads.note[n] || DASH),
      ],
    })),
    nothing: "none is on record.",
  });
}

function showTrust(period) {
  const lines = coverageLines(period);
  showTrustLine(period, lines);
  showAnswer(period, lines);
  showVerdicts(period);
  showDifferences(period);
  showCoverage(period, lines);
  showAside(period);
  showCaveats(period);
  showLoads();
}
