// Whether the figures can be trusted, in a line at the top of the page and in sentences: for who quotes them.

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
  for (const item of auditItems(period)) items.push(item);
  const loaded = data.days.loaded_at.reduce((latest, at) => Math.max(latest, at), 0);
  document
    .getElementById("trust-line")
    .replaceChildren(
      ...items.map(([kind, text]) => el("a", {href: "#trust"}, signed(kind, text))),
      el("span", {class: "note-inline"}, `Last loaded ${timeText(loaded)}`),
    );
}

/** How many livestreams were verified lately, and what the nightly audits found. */
function auditItems(period) {
  const sums = {livestreams: 0, verified: 0, audited: 0, changed: 0};
  data.audits.app.forEach((app, n) => {
    if (!period.apps.includes(app)) return;
    for (const name of Object.keys(sums)) sums[name] += data.audits[name][n];
  });
  if (!sums.livestreams) return [];
  const share = Math.floor((100 * sums.verified) / sums.livestreams);
  const items = [[share === 100 ? "good" : "odd", `${written(share, 0)} % of livestreams verified within 30 days`]];
  if (sums.audited) {
    items.push([
      sums.changed ? "bad" : "good",
      `${written(sums.changed, 0)} of ${counted(sums.audited, "audited livestream", "audited livestreams")} had changed unannounced`,
    ]);
  }
  return items;
}

/** What the API's own totals say more, or less, than the sessions shown, on the days of a verdict. */
function apart(period, wanted) {
  const found = {days: 0, aside: 0, older: 0, ingest: 0, viewer: 0, sessions: 0};
  const table = data.reconciliation;
  for (const app of period.apps) {
    for (const day of period.days) {
      if (verdict(app, day) !== wanted) continue;
      const n = verdictRows[app].get(day);
      found.days += 1;
      found.aside += table.quarantined[n] > 0 ? 1 : 0;
      found.older += table.is_older[n] ? 1 : 0;
      const more = table.sessions_more[n] || 0; // only what the sentence says: more, or less
      const sign = wanted === "sessions_missing" ? 1 : -1;
      found.sessions += Math.max(sign * more, 0);
      found.ingest += Math.max(sign * (table.overall_ingest[n] - table.sessions_ingest[n]), 0);
      found.viewer += Math.max(sign * (table.overall_viewer[n] - table.sessions_viewer[n]), 0);
    }
  }
  return found;
}

/** Hours, and what part they are of those the page shows. */
function hoursOf(seconds, metric, period) {
  const [hours, shown] = [seconds / 3600, METRICS[metric].of(period).value];
  const percent = shown ? (hours / shown) * 100 : null;
  const share = percent === null ? "" : percent < 0.05 ? " (less than 0.1 %)" : ` (${written(percent, 1)} %)`;
  return `${written(hours, 1)} ${METRICS[metric].label.toLowerCase()}${share}`;
}

/** Of which figures how many days are unknown or not loaded. */
function unknownOf(lines, names) {
  return names
    .map((name) => [
      TABLE_NAMES[name],
      lines.filter((line) => line.name === name).reduce((sum, line) => sum + line.u.length + line["-"].length, 0),
    ])
    .filter(([, days]) => days);
}

function sentences(period, lines) {
  const counts = verdictCounts(period);
  const [unit, many] = period.apps.length > 1 ? ["app-day", "app-days"] : ["day", "days"];
  const judged = counts.match + counts.sessions_missing + counts.overall_behind;
  const missing = apart(period, "sessions_missing");
  const behind = apart(period, "overall_behind");
  const unknown = counts.unknown + counts.not_loaded;
  const aside = sumOf(data.quarantine, groupsIn(data.quarantine, period));
  const both = ({viewer, ingest, sessions}) =>
    (sessions ? `${counted(sessions, "session", "sessions")}, ` : "") +
    `${hoursOf(viewer, "viewer_hours", period)} and ${hoursOf(ingest, "ingest_hours", period)}`;
  const onThem = (some, all) =>
    some < all ? `On ${written(some, 0)} of them` : all === 1 ? "Then" : "On each of them";
  /** Where overall is older than the sessions, the difference says nothing about the API. */
  const older = ({older: some, days}) =>
    some
      ? `${onThem(some, days)} the API’s total was received before the sessions were, and may be out of date: ` +
        "`livehouse backfill DAY DAY` asks for it again. "
      : "";
  const said = [];
  if (!judged) said.push(["unknown", "No day of this period can be compared with the API’s own totals yet."]);
  else if (counts.match)
    said.push([
      "good",
      `On ${counts.match === judged ? "all" : `${written(counts.match, 0)} of`} ` +
        `${counted(judged, `settled ${unit}`, `settled ${many}`)} the sessions shown add up to the API’s own totals.`,
    ]);
  if (missing.days)
    said.push([
      "bad",
      `On ${counted(missing.days, unit, many)} the API counts ${both(missing)} more than is shown: the true figures are ` +
        "higher by about that much. " +
        older(missing) +
        (missing.aside
          ? `${onThem(missing.aside, missing.days)} a session is set aside because a value in it cannot be read.`
          : missing.older === missing.days
            ? ""
            : "The API did not return those sessions."),
    ]);
  if (behind.days)
    said.push([
      "odd",
      `On ${counted(behind.days, unit, many)} the API’s totals are ${both(behind)} below its own sessions` +
        (behind.older === behind.days ? ". " : ": they lag, or have lost some. ") +
        older(behind) +
        "The sessions are shown.",
    ]);
  if (counts.unsettled)
    said.push([
      "odd",
      `${counted(counts.unsettled, `${unit} is`, `${many} are`)} not settled: a session had not ended, so that its figures are provisional, or the day was not over, ` +
        "when it was loaded. The next nightly run brings the rest; do not quote them yet.",
    ]);
  if (unknown)
    said.push([
      "unknown",
      `Of ${counted(unknown, unit, many)} the sessions or the API’s totals are unknown: never loaded, no longer remembered by the source, or too large to ` +
        "add up. They are in no figure, and not counted as zero.",
    ]);
  const forgotten = unknownOf(lines, ["core.meeting_sessions_daily", "core.recordings_daily"]);
  if (forgotten.length)
    said.push([
      "unknown",
      `Unknown besides, since they were never loaded or the source no longer remembers: ${forgotten
        .map(([name, days]) => `${name.toLowerCase()} on ${counted(days, unit, many)}`)
        .join(", ")}. What they cost is missing from the estimate.`,
    ]);
  if (aside)
    said.push([
      "odd",
      `${counted(aside, "record is", "records are")} set aside, since a value in ${aside === 1 ? "it" : "them"} cannot be ` +
        "read. They are in no figure; the table below says why.",
    ]);
  if (said.every(([kind]) => kind === "good")) said.push(["good", "Nothing is missing, set aside or unsettled."]);
  return said;
}

function showAnswer(period, lines) {
  document
    .getElementById("answer")
    .replaceChildren(...sentences(period, lines).map(([kind, text]) => el("li", {}, signed(kind, text))));
}
