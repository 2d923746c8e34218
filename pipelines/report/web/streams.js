// Top livestreams: those with most of a figure, and the rest, so that the table adds up.

const RANKS = {
  viewer_seconds: {label: "Viewer hours", unit: "h", digits: 1, factor: 1 / 3600},
  ingest_seconds: {label: "Ingest hours", unit: "h", digits: 1, factor: 1 / 3600},
  sessions: {label: "Sessions", unit: "", digits: 0, factor: 1},
  failed: {label: "Failed sessions", unit: "", digits: 0, factor: 1},
};
const LISTED = 12;

/** Livestreams with a session in the period, first the one with most of `rank`. */
function rankedStreams(period, rank) {
  const {keys, rows} = data.streams;
  const wanted = new Set(period.apps);
  const [from, to] = [period.days[0], period.days[period.days.length - 1]];
  const found = new Map();
  rows.stream.forEach((stream, n) => {
    if (!wanted.has(keys.app[stream]) || rows.day[n] < from || rows.day[n] > to) return;
    if (!found.has(stream)) {
      found.set(stream, {
        stream,
        app: keys.app[stream],
        name: keys.name[stream],
        id: keys.livestream_id[stream],
        sessions: 0,
        failed: 0,
        ingest_seconds: null,
        viewer_seconds: null,
        paired_ingest: 0,
        paired_viewer: 0,
        started: 0,
        told: {ingest_seconds: false, viewer_seconds: false},
      });
    }
    const line = found.get(stream);
    for (const name of ["sessions", "failed", "started", "ingest_seconds", "viewer_seconds"]) {
      if (rows[name][n] !== null) line[name] = (line[name] || 0) + rows[name][n];
    }
    for (const name of Object.keys(line.told)) {
      line.told[name] ||= rows[name][n] > 0 || (rows.started[n] > 0 && rows[name][n] !== null);
    }
    line.paired_ingest += rows.paired_ingest[n] ?? rows.ingest_seconds[n] ?? 0;
    line.paired_viewer += rows.paired_viewer[n] ?? rows.viewer_seconds[n] ?? 0;
  });
  // as in marts.livestream_performance: unknown while none of the sessions that started reports the figure
  for (const line of found.values()) {
    for (const name of Object.keys(line.told)) {
      if ((line.started && !line.told[name]) || !Number.isFinite(line[name])) line[name] = null;
    }
  }
  const order = (line) => (line[rank] === null ? -1 : line[rank]);
  return [...found.values()].sort((a, b) => order(b) - order(a) || a.stream - b.stream);
}

function streamLabel(line) {
  return line.name || `(no name) ${line.id.slice(0, 8)}`;
}

function showTop(period, rank, streams) {
  const cells = (line) => [
    written(line.viewer_seconds === null ? null : line.viewer_seconds / 3600, 1),
    written(line.ingest_seconds === null ? null : line.ingest_seconds / 3600, 1),
    written(line.paired_ingest > 0 ? line.paired_viewer / line.paired_ingest : null, 1),
    written(line.sessions, 0),
    written(line.failed, 0),
  ];
  const top = streams.slice(0, LISTED);
  const rows = top.map((line, n) => ({
    cells: [
      [
        el("span", {title: `${line.id} · ${data.apps[line.app]}`}, `${n + 1}. `, named(streamLabel(line))),
        data.apps.length > 1 && period.apps.length > 1 ? el("small", {}, named(data.apps[line.app])) : null,
      ],
      ...cells(line),
    ],
  }));
  const all = {};
  const others = {};
  for (const name of [...Object.keys(RANKS), "paired_ingest", "paired_viewer"]) {
    all[name] = total(name, 1)(period).value;
    const listed = top.reduce((sum, line) => sum + (line[name] || 0), 0);
    others[name] = all[name] === null ? null : Math.max(0, all[name] - listed);
  }
  const isCapped = data.streams.keys.app.length < data.livestreams;
  const rest = streams.length - top.length;
  if (rest > 0 || (isCapped && others.sessions > 0)) {
    rows.push({
      cells: [
        isCapped ? "Other livestreams" : counted(rest, "other livestream", "other livestreams"),
        ...cells(others),
      ],
    });
  }
  if (top.length) rows.push({kind: "total", cells: ["All livestreams", ...cells(all)]});
  showTable("table-top", {
    caption: `Top ${LISTED} by ${RANKS[rank].label.toLowerCase()}`,
    sticky: true,
    columns: [
      ["Livestream", "long"],
      ["Viewer hours", "number"],
      ["Ingest hours", "number"],
      ["Avg. conc. viewers", "number"],
      ["Sessions", "number"],
      ["Failed", "number"],
    ],
    rows,
    nothing: "no session in this period.",
  });
  document.getElementById("top-note").textContent = isCapped
    ? `Of ${written(data.livestreams, 0)} livestreams, ${written(data.streams.keys.app.length, 0)} are told apart: ` +
      "those that did most in some month of their app. The rest is in “Other livestreams”."
    : "";
}
