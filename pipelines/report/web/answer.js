// Whether the figures can be trusted: one line at the top of the page, and full sentences to quote further down.

/** @typedef {[Kind, string]} Statement */

/** @param {Period} period */
function nameUnit(period) {
  return period.apps.length > 1 ? "app-day" : "day";
}

/**
 * The short answer, at the top of the page.
 * @param {Period} period
 * @param {CoverageLine[]} lines
 */
function showTrustLine(period, lines) {
  const counts = countVerdicts(period);
  const quarantined = countRecords(data.quarantine, findRecords(data.quarantine, period));
  /** @type {(state: DayState | "outside") => number} */
  const countDays = (state) => new Set(lines.flatMap(({app, days}) => days[state].map((day) => `${app} ${day}`))).size;
  const [gaps, unknown, outside] = [countDays("gap"), countDays("unknown"), countDays("outside")];
  const judged = counts.match + counts.sessions_missing + counts.overall_behind;
  const unit = nameUnit(period);
  const isQuiet = !gaps && !quarantined && !outside;
  const verdict = judged
    ? `${formatNumber(counts.match, 0)} of ${formatCount(judged, `${unit} matches`, `${unit}s match`)} the API’s totals`
    : "no day can be compared with the API’s totals";
  /** @type {Statement[]} */
  const items = [
    [
      !judged ? "unknown" : counts.match === judged ? "good" : "bad",
      isQuiet ? `${verdict}, no day missing, no record in quarantine` : verdict,
    ],
  ];
  if (quarantined) items.push(["warning", `${formatCount(quarantined, "record", "records")} in quarantine`]);
  if (gaps) items.push(["bad", formatCount(gaps, `${unit} missing`, `${unit}s missing`)]);
  if (outside) items.push(["unknown", formatCount(outside, `${unit} not loaded`, `${unit}s not loaded`)]);
  if (unknown) items.push(["unknown", formatCount(unknown, `unknown ${unit}`, `unknown ${unit}s`)]);
  if (counts.unsettled) {
    items.push(["warning", formatCount(counts.unsettled, `unsettled ${unit}`, `unsettled ${unit}s`)]);
  }
  for (const item of listAuditItems(period)) if (item[0] === "bad") items.push(item);
  const open = data.incidents.state.filter((state) => state === "open").length;
  if (open) items.push(["bad", formatCount(open, "incident is open", "incidents are open")]);
  getElement("trust-line").replaceChildren(
    ...items.map(([kind, text]) => createElement("a", {href: "#trust"}, withSign(kind, text))),
  );
}

/**
 * How many livestreams were verified lately, and the result of the nightly audits.
 * @param {Period} period
 * @returns {Statement[]}
 */
function listAuditItems(period) {
  const sums = {livestreams: 0, verified: 0, audited: 0, changed: 0};
  data.audits.app.forEach((app, n) => {
    if (!period.apps.includes(app)) return;
    sums.livestreams += data.audits.livestreams[n];
    sums.verified += data.audits.verified[n];
    sums.audited += data.audits.audited[n];
    sums.changed += data.audits.changed[n];
  });
  if (!sums.livestreams) return [];
  const share = Math.floor((100 * sums.verified) / sums.livestreams);
  /** @type {Statement[]} */
  const items = [
    [share === 100 ? "good" : "warning", `${formatNumber(share, 0)} % of livestreams verified within 30 days`],
  ];
  if (sums.audited) {
    const audited = formatCount(sums.audited, "audited livestream", "audited livestreams");
    items.push([
      sums.changed ? "bad" : "good",
      `${formatNumber(sums.changed, 0)} of ${audited} had changed without notice`,
    ]);
  }
  return items;
}

/**
 * Sums over the days of a verdict: the difference in its direction, and the days that have a likely cause.
 * @param {Period} period
 * @param {VerdictName} verdict
 */
function sumDifferences(period, verdict) {
  const sums = {days: 0, quarantined: 0, older: 0, ingest: 0, viewer: 0, sessions: 0};
  const table = data.reconciliation;
  for (const app of period.apps) {
    for (const day of period.days) {
      const n = findRow("reconciliation", app, day);
      if (n === undefined || table.verdict[n] !== verdict) continue;
      sums.days += 1;
      sums.quarantined += table.quarantined[n] > 0 ? 1 : 0;
      sums.older += table.is_older[n] ? 1 : 0;
      sums.ingest += table.missing_ingest[n] ?? 0;
      sums.viewer += table.missing_viewer[n] ?? 0;
      sums.sessions += table.missing_sessions[n] ?? 0;
    }
  }
  return sums;
}

/**
 * A difference in words: sessions if any, and hours with their share of the hours on the page. A measure that does not
 * differ in this direction is left out.
 * @param {{ingest: number, viewer: number, sessions: number}} sums
 * @param {Period} period
 */
function formatDifference({ingest, viewer, sessions}, period) {
  const parts = sessions ? [formatCount(sessions, "session", "sessions")] : [];
  for (const [seconds, metric] of /** @type {[number, Metric][]} */ ([
    [viewer, METRICS.viewer_hours],
    [ingest, METRICS.ingest_hours],
  ])) {
    if (!seconds) continue;
    const hours = seconds * metric.factor;
    const shown = aggregate(metric, period).value;
    const percent = shown ? (hours / shown) * 100 : null;
    const share = percent === null ? "" : percent < 0.05 ? " (less than 0.1 %)" : ` (${formatNumber(percent, 1)} %)`;
    parts.push(`${formatNumber(hours, 1)} ${metric.label.toLowerCase()}${share}`);
  }
  const last = parts.pop() ?? "";
  return parts.length ? `${parts.join(", ")} and ${last}` : last;
}

/**
 * Tables of which days are unknown or not loaded, and how many.
 * @param {CoverageLine[]} lines
 * @param {string[]} tables
 */
function countUnknown(lines, tables) {
  return tables
    .map((name) => {
      const days = lines
        .filter((line) => line.table === name)
        .reduce((sum, line) => sum + line.days.unknown.length + line.days.gap.length + line.days.outside.length, 0);
      return {label: TABLE_LABELS[name], days};
    })
    .filter(({days}) => days);
}

/**
 * @param {number} some
 * @param {number} all
 */
function formatOnDays(some, all) {
  if (some < all) return `On ${formatNumber(some, 0)} of them`;
  return all === 1 ? "On that day" : "On each of them";
}

/**
 * If overall was fetched earlier than the sessions, the API did not cause the difference.
 * @param {{older: number, days: number}} sums
 */
function explainOlder({older, days}) {
  if (!older) return "";
  return (
    `${formatOnDays(older, days)} the API’s total was fetched before the sessions were, and may be out of date: ` +
    "`livehouse backfill DAY DAY` fetches it again. "
  );
}

/**
 * @param {Period} period
 * @returns {Statement[]}
 */
function describeDifferences(period) {
  const [unit, units] = [nameUnit(period), `${nameUnit(period)}s`];
  const missing = sumDifferences(period, "sessions_missing");
  const behind = sumDifferences(period, "overall_behind");
  /** @type {Statement[]} */
  const statements = [];
  if (missing.days) {
    const cause = missing.quarantined
      ? `${formatOnDays(missing.quarantined, missing.days)} a session is in quarantine because a value in it is invalid.`
      : missing.older === missing.days
        ? ""
        : "The API did not return those sessions.";
    statements.push([
      "bad",
      `On ${formatCount(missing.days, unit, units)} the API counts ${formatDifference(missing, period)} more than is shown: ` +
        `the true figures are higher by about that much. ${explainOlder(missing)}${cause}`,
    ]);
  }
  if (behind.days) {
    const cause = behind.older === behind.days ? "." : ": they lag, or have lost some.";
    statements.push([
      "warning",
      `On ${formatCount(behind.days, unit, units)} the API’s totals are ${formatDifference(behind, period)} below its own ` +
        `sessions${cause} ${explainOlder(behind)}The page shows the sessions.`,
    ]);
  }
  return statements;
}

/**
 * @param {Period} period
 * @param {CoverageLine[]} lines
 */
function describeTrust(period, lines) {
  const counts = countVerdicts(period);
  const [unit, units] = [nameUnit(period), `${nameUnit(period)}s`];
  const judged = counts.match + counts.sessions_missing + counts.overall_behind;
  const unknown = counts.unknown + counts.not_loaded;
  const quarantined = countRecords(data.quarantine, findRecords(data.quarantine, period));
  /** @type {Statement[]} */
  const statements = [];
  if (!judged) statements.push(["unknown", "No day of this period can be compared with the API’s totals yet."]);
  else if (counts.match) {
    statements.push([
      "good",
      `On ${counts.match === judged ? "all" : `${formatNumber(counts.match, 0)} of`} ` +
        `${formatCount(judged, `settled ${unit}`, `settled ${units}`)} the sessions shown add up to the API’s totals.`,
    ]);
  }
  for (const statement of describeDifferences(period)) statements.push(statement);
  if (counts.unsettled) {
    statements.push([
      "warning",
      `${formatCount(counts.unsettled, `${unit} is`, `${units} are`)} not settled: when loaded, the day was not over, or a ` +
        "session had not ended, so that its figures are provisional. The next nightly run completes them; do not quote them yet.",
    ]);
  }
  if (unknown) {
    statements.push([
      "unknown",
      `On ${formatCount(unknown, unit, units)} the sessions or the API’s totals are unknown: never loaded, no longer kept by ` +
        "the source, or too large to add up. No figure includes them, and they do not count as zero.",
    ]);
  }
  const others = countUnknown(lines, ["core.meeting_sessions_daily", "core.recordings_daily"]);
  if (others.length) {
    const tables = others.map(({label, days}) => `${label.toLowerCase()} on ${formatCount(days, unit, units)}`);
    statements.push([
      "unknown",
      `Also unknown, because never loaded or no longer kept by the source: ${tables.join(", ")}. The estimate omits their cost.`,
    ]);
  }
  if (quarantined) {
    statements.push([
      "warning",
      `${formatCount(quarantined, "record is", "records are")} in quarantine, because a value in ` +
        `${quarantined === 1 ? "it" : "them"} is invalid. No figure includes them; the table below gives the reasons.`,
    ]);
  }
  if (statements.every(([kind]) => kind === "good")) {
    statements.push(["good", "Nothing is missing, in quarantine or unsettled."]);
  }
  for (const [kind, text] of listAuditItems(period)) statements.push([kind, `${text}.`]);
  return statements;
}

/**
 * @param {Period} period
 * @param {CoverageLine[]} lines
 */
function showAnswer(period, lines) {
  const items = describeTrust(period, lines).map(([kind, text]) => createElement("li", {}, withSign(kind, text)));
  getElement("answer").replaceChildren(...items);
}
