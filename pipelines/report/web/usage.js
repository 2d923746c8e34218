// Tiles and tables of usage: what was streamed, watched, what failed, what it may cost.

const TILES = [
  "viewer_hours",
  "ingest_hours",
  "viewers",
  "peak",
  "sessions",
  "failed",
  "error_rate",
  "p50",
  "p95",
  "recordings",
  "recording_minutes",
  "meetings",
  "meeting_minutes",
  "cost",
];
const COLUMNS = [
  "viewer_hours",
  "ingest_hours",
  "sessions",
  "viewers",
  "error_rate",
  "peak",
  "recordings",
  "recording_minutes",
  "meetings",
  "meeting_minutes",
  "cost",
];
const HEADS = {viewers: "Avg. conc. viewers", error_rate: "Error rate", peak: "Peak streams", cost: "Est. cost"};

function tile(id, period, before) {
  const metric = METRICS[id];
  const now = metric.of(period);
  const {text, reason} = change(metric, now, metric.of(before), before);
  const missing = now.value !== null ? "" : now.known ? metric.empty || "" : "unknown";
  const number = metric.unit === "$" ? dollars(now.value) : written(now.value, metric.digits);
  const unit = now.value === null || metric.unit === "$" ? "" : metric.unit;
  return el(
    "article",
    {class: "tile", "data-metric": id},
    el("h3", {}, metric.label),
    el("p", {class: "value"}, number, unit ? el("span", {class: "unit"}, ` ${unit}`) : null),
    text ? el("p", {class: "change"}, text) : null,
    reason ? el("p", {}, reason) : null,
    missing ? el("p", {}, missing) : null,
    id === "peak" && now.at ? el("p", {}, timeText(now.at)) : null,
    id === "cost" ? el("p", {}, "a lower bound") : null,
    coverage(now, period) ? el("p", {}, `${id === "cost" ? "all of it: " : ""}${coverage(now, period)}`) : null,
  );
}

function showTiles(period, before) {
  document.getElementById("tiles").replaceChildren(...TILES.map((id) => tile(id, period, before)));
}

function appRow(name, apps, period, before, kind) {
  const now = {...period, apps};
  const then = {...before, apps};
  return {
    kind,
    cells: [
      name,
      ...COLUMNS.map((id) => {
        const metric = METRICS[id];
        const result = metric.of(now);
        const {text, reason} = change(metric, result, metric.of(then), then);
        const isShort = result.known < result.wanted;
        const missing =
          result.value === null && !result.known
            ? "unknown"
            : isShort
              ? `${result.known} of ${result.wanted} days`
              : "";
        const cell = el(
          "span",
          reason ? {title: reason} : {},
          withUnit(result.value, {...metric, unit: metric.unit === "$" || metric.unit === "%" ? metric.unit : ""}),
        );
        return [cell, el("small", {}, text || missing || (result.value === null ? metric.empty || DASH : DASH))];
      }),
    ],
  };
}

/** Every app and all together, whichever app is chosen. */
function showApps(period, before, chosen) {
  const rows = data.apps.map((name, app) => appRow(named(name), [app], period, before, app === chosen ? "chosen" : ""));
  if (data.apps.length > 1) rows.push(appRow("All together", ALL_APPS, period, before, "total"));
  const head = (id) => {
    const unit = METRICS[id].unit;
    const label = HEADS[id] || METRICS[id].label;
    return ["h", "min"].includes(unit) && !label.toLowerCase().includes(unit === "h" ? "hours" : "minutes")
      ? `${label}, ${unit}`
      : label;
  };
  showTable("table-apps", {
    caption: "By app",
    note: `${rangeText(period.days[0], period.days[period.days.length - 1])}, UTC`,
    sticky: true,
    columns: [["App", "long"], ...COLUMNS.map((id) => [head(id), "number"])],
    rows,
  });
}

/** What failed, by message, against the period before. */
function showMessages(period, before) {
  const {keys, rows} = data.messages;
  const tally = ({apps, days}, message) => {
    const [from, to] = [days[0], days[days.length - 1]];
    const found = new Map();
    rows.message.forEach((key, n) => {
      if (!apps.includes(rows.app[n]) || rows.day[n] < from || rows.day[n] > to) return;
      const line = found.get(key) || {key, early: 0, late: 0, last: 0};
      line.early += rows.before_live[n];
      line.late += rows.after_live[n];
      line.last = Math.max(line.last, rows.day[n]);
      found.set(key, line);
    });
    return found;
  };
  const [now, then] = [tally(period), tally(before)];
  const beforeKnown = add(["sessions"], before);
  const lines = [...now.values()].sort((a, b) => b.early + b.late - a.early - a.late || a.key - b.key);
  const failed = lines.reduce((sum, line) => sum + line.early + line.late, 0);
  const shown = lines.slice(0, 25).map((line) => {
    const old = then.get(line.key) || {early: 0, late: 0};
    const count = line.early + line.late;
    return {
      cells: [
        named(keys.message[line.key] ?? "(other, rarer messages)"),
        written(count, 0),
        `${written((count / failed) * 100, 1)} %`,
        written(line.early, 0),
        written(line.late, 0),
        beforeKnown.known < beforeKnown.wanted ? DASH : written(old.early + old.late, 0),
        dayText(line.last),
      ],
    };
  });
  const unknown = coverage(add(["sessions"], period), period);
  showTable("table-messages", {
    caption: "What failed",
    sticky: true,
    note: clauses(
      counted(failed, "failed session", "failed sessions"),
      lines.length > 25 ? `the 25 most frequent of ${written(lines.length, 0)} messages` : "",
      unknown,
    ),
    columns: [
      ["Message", "long"],
      ["Sessions", "number"],
      ["Share", "number"],
      ["Before going live", "number"],
      ["After going live", "number"],
      ["Period before", "number"],
      ["Last on", "nowrap"],
    ],
    rows: shown,
    nothing: unknown
      ? `no failed session on the days that are known (${unknown}).`
      : "no session failed in this period.",
  });
}

function showCost(period, before) {
  const [lines, old] = [costLines(period), costLines(before)];
  const amount = (line) => (line.rate === null ? DASH : dollars(line.value));
  const past = (line) => (line.minutes.known < line.minutes.wanted ? DASH : amount(line));
  const rows = lines.map((line, n) => ({
    cells: [
      [line.what, el("small", {}, [line.note, coverage(line.minutes, period)].filter(Boolean).join("; "))],
      amount(line),
      past(old[n]),
      written(line.minutes.value, 0),
      line.rate === null ? "no rate" : rateText(line.rate),
    ],
  }));
  const [now, then] = [cost(period), cost(before)];
  rows.splice(3, 0, {
    kind: "total",
    cells: [
      "Estimated total, at least",
      dollars(now.value),
      then.known < then.wanted ? DASH : dollars(then.value),
      "",
      "",
    ],
  });
  showTable("table-cost", {
    caption: "Estimate, US dollars",
    note: "an estimate, not an invoice",
    sticky: true,
    columns: [
      ["What", "long"],
      ["This period", "number"],
      ["Period before", "number"],
      ["Minutes", "number"],
      ["Rate a minute", "number"],
    ],
    rows,
  });
}
