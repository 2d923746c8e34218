// What is in the figures not or only in part: records set aside or shrunk. What loads did. The short answer.

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

function showAside(period) {
  const {quarantine, shrinks} = data;
  const aside = groupsIn(quarantine, period);
  const day = (value) => (value === null ? "no day" : dayText(value));
  const more = (rows) => (rows.length > 40 ? `the 40 largest of ${written(rows.length, 0)} groups` : "");
  const partial =
    sumOf(
      quarantine,
      quarantine.records.map((_, n) => n),
    ) < data.quarantined
      ? "only the largest groups of the warehouse are in this page"
      : "";
  showTable("table-quarantine", {
    caption: "Records set aside (quarantine)",
    sticky: true,
    note: clauses(
      `${counted(sumOf(quarantine, aside), "record", "records")} missing from the figures until they arrive whole`,
      more(aside),
      partial,
    ),
    columns: [
      ["Day", "nowrap"],
      ["App", "long"],
      ["Of", "nowrap"],
      ["Field", "long"],
      ["Reason", "long"],
      ["Records", "number"],
      ["One of them", "long"],
    ],
    rows: aside.slice(0, 40).map((n) => ({
      cells: [
        day(quarantine.day[n]),
        named(data.apps[quarantine.app[n]]),
        TABLE_NAMES[quarantine.table_name[n]] || quarantine.table_name[n],
        named(quarantine.field[n]),
        named(quarantine.reason[n]),
        written(quarantine.records[n], 0),
        named(quarantine.example[n] || DASH),
      ],
    })),
    nothing: "none in this period.",
  });
  const shrunk = groupsIn(shrinks, period);
  showTable("table-shrinks", {
    caption: "Where the source now says less than before",
    sticky: true,
    note: clauses(
      counted(sumOf(shrinks, shrunk), "record", "records"),
      "the older figures stand and are shown",
      more(shrunk),
    ),
    columns: [
      ["Day", "nowrap"],
      ["App", "long"],
      ["Of", "nowrap"],
      ["What happened", "long"],
      ["Records", "number"],
    ],
    rows: shrunk.slice(0, 40).map((n) => ({
      cells: [
        day(shrinks.day[n]),
        named(data.apps[shrinks.app[n]]),
        TABLE_NAMES[shrinks.table_name[n]] || shrinks.table_name[n],
        named(shrinks.reason[n]),
        written(shrinks.records[n], 0),
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

/** The short answer, at the top of the page. */
function showTrustLine(period, lines) {
  const counts = verdictCounts(period);
  const aside = sumOf(data.quarantine, groupsIn(data.quarantine, period));
  const distinct = (key) => new Set(lines.flatMap((line) => line[key].map((day) => `${line.app} ${day}`))).size;
  const [gaps, unknown] = [distinct("gaps"), distinct("u")];
  const judged = counts.match + counts.sessions_missing + counts.overall_behind;
  const unit = period.apps.length > 1 ? "app-day" : "day";
  const items = [
    [
      !judged ? "unknown" : counts.match === judged ? "good" : "bad",
      judged
        ? `${written(counts.match, 0)} of ${counted(judged, `${unit} matches`, `${unit}s match`)} the API’s totals`
        : "no day can be reconciled",
    ],
    [aside ? "odd" : "good", aside ? `${counted(aside, "record", "records")} set aside` : "no record set aside"],
    [gaps ? "bad" : "good", gaps ? counted(gaps, `${unit} left out`, `${unit}s left out`) : "no gaps"],
  ];
  if (unknown) items.push(["unknown", counted(unknown, `unknown ${unit}`, `unknown ${unit}s`)]);
  if (counts.unsettled) items.push(["odd", counted(counts.unsettled, `unsettled ${unit}`, `unsettled ${unit}s`)]);
  const loaded = Math.max(...data.days.loaded_at);
  document
    .getElementById("trust-line")
    .replaceChildren(
      ...items.map(([kind, text]) => el("a", {href: "#trust"}, signed(kind, text))),
      el("span", {class: "note-inline"}, `Last loaded ${timeText(loaded)}`),
    );
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
