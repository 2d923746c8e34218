// The page of one livestream: its figures, its sessions on a timeline and in a table, its failures, and its records in quarantine.

const LISTED_SESSIONS = 300;
const HOUR_MS = DAY_MS / 24;

/**
 * The index of a livestream among those with listed sessions; undefined if it has none.
 * @param {LivestreamKey} key
 */
function findLivestream({app, id}) {
  const {livestreams} = readSessions().sessions;
  const n = livestreams.livestream_id.findIndex((other, place) => other === id && livestreams.app[place] === app);
  return n < 0 ? undefined : n;
}

/**
 * @param {LivestreamKey} key
 * @param {Period} period
 */
function listOwnSessions(key, period) {
  const stream = findLivestream(key);
  return stream === undefined ? [] : listSessions(stream, period);
}

/**
 * @param {string} label
 * @param {string} value
 * @param {string} [note]
 */
function createFigure(label, value, note) {
  return createElement(
    "article",
    {class: "tile"},
    createElement("h3", {}, label),
    createElement("p", {class: "value"}, value),
    note ? createElement("p", {}, note) : null,
  );
}

/**
 * @param {LivestreamKey} key
 * @param {Period} period of its app
 * @param {Session[]} sessions
 */
function showLivestreamFigures({app, id}, period, sessions) {
  const line = rankStreams(period, "viewer_seconds").find((other) => other.id === id && other.app === app);
  /** @type {Record<string, Cell>} */
  const figures = line?.figures ?? {};
  /** @type {(column: string) => string} */
  const format = (column) => formatValue(readFigure(figures, column), RANKS[column]);
  const waits = Float64Array.from(sessions.flatMap(({wait}) => (wait === null ? [] : [wait]))).sort();
  const {sessions: embedded} = readSessions();
  const isComplete = period.days[0] >= embedded.sessions_first;
  const {app: apps, livestream_id, day, peak, peak_at} = embedded.peaks;
  const observed = [...day.keys()]
    .filter((n) => apps[n] === app && livestream_id[n] === id && isWithin(day[n], period))
    .sort((a, b) => peak[b] - peak[a]);
  /** @type {(share: number) => string} */
  const percentile = (share) => {
    const wait = isComplete ? readPercentile(waits, share) : null;
    return formatValue(wait === null ? null : wait / 1000, METRICS.p50);
  };
  getElement("livestream-figures").replaceChildren(
    createFigure("Sessions", format("sessions")),
    createFigure("Failed sessions", format("failed")),
    createFigure("Viewer hours", format("viewer_seconds")),
    createFigure("Ingest hours", format("ingest_seconds")),
    createFigure(METRICS.viewers.label, formatAverageViewers(figures)),
    createFigure(METRICS.p50.label, percentile(0.5), formatCount(waits.length, "session", "sessions")),
    createFigure(METRICS.p95.label, percentile(0.95)),
    createFigure(
      "Peak concurrent viewers",
      observed.length ? formatNumber(peak[observed[0]], 1) : DASH,
      observed.length ? formatTime(peak_at[observed[0]]) : "not observed",
    ),
  );
}

/** @param {Session[]} sessions */
function showSessions(sessions) {
  const listed = sessions.slice(0, LISTED_SESSIONS);
  showTable("table-sessions", {
    caption: "Sessions",
    note: joinParts(
      "times are UTC",
      "ids only of sessions that did not end well",
      listed.length < sessions.length ? `the newest ${listed.length} of ${formatNumber(sessions.length, 0)}` : "",
    ),
    isSticky: true,
    columns: [
      ["Began", "nowrap"],
      ["State", "nowrap"],
      ["Length, min", "number"],
      ["Time to live, s", "number"],
      ["Ingest, min", "number"],
      ["Viewer hours", "number"],
      ["Avg. conc. viewers", "number"],
      ["Message", "long"],
      ["Session", "long"],
    ],
    rows: listed.map((session) => {
      const {length, wait, ingest, viewer, state, id} = session;
      /** @type {(value: Cell, divisor: number, digits: number) => string} */
      const format = (value, divisor, digits) => formatNumber(value === null ? null : value / divisor, digits);
      return {
        cells: [
          formatBegin(session),
          withSign(state.kind, state.label),
          format(length, 60, 1),
          format(wait, 1000, 1),
          format(ingest, 60, 1),
          format(viewer, 3600, 2),
          format(ingest && viewer !== null ? viewer : null, ingest ?? 1, 1),
          isolateText(formatMessage(session)),
          isolateText(id || DASH),
        ],
      };
    }),
    nothing: "none in this period.",
  });
}

/** @param {Session[]} sessions */
function showFailures(sessions) {
  const failed = sessions.filter(({state}) => state.is_failed);
  const [early] = readSessions().sessions.states;
  const groups = groupBy(failed, formatMessage).sort((a, b) => b.length - a.length);
  showTable("table-failures", {
    caption: "Failed sessions by message",
    isSticky: true,
    columns: [
      ["Message", "long"],
      ["Sessions", "number"],
      ["Before going live", "number"],
      ["After going live", "number"],
      ["Last on", "nowrap"],
    ],
    rows: groups.map((group) => ({
      cells: [
        isolateText(formatMessage(group[0])),
        formatNumber(group.length, 0),
        formatNumber(group.filter(({state}) => state === early).length, 0),
        formatNumber(group.filter(({state}) => state !== early).length, 0),
        formatBegin(group[0]),
      ],
    })),
    nothing: "none in this period.",
  });
}

/**
 * @param {LivestreamKey} key
 * @param {Period} period of its app
 */
function showOwnQuarantine({id}, period) {
  const table = readSessions().sessions.quarantine;
  const found = findRecords(table, period).filter((n) => table.livestream_id[n] === id);
  showTable("table-own-quarantine", {
    caption: "Records in quarantine",
    note: "missing from the figures until they arrive with valid values",
    isSticky: true,
    columns: [
      ["Record", "long"],
      ["Table", "nowrap"],
      ["Day", "nowrap"],
      ["Field", "long"],
      ["Reason", "long"],
    ],
    rows: found.map((n) => {
      const day = table.day[n];
      return {
        cells: [
          isolateText(table.record_id[n] || DASH),
          labelTable(table.table_name[n]),
          day === null ? "no day" : formatDay(day),
          isolateText(table.field[n]),
          isolateText(table.reason[n]),
        ],
      };
    }),
    nothing: "none in this period.",
  });
}

/**
 * Rows of the timeline: one for each session and day on which it was on air, with its hours of that day.
 * @param {LivestreamKey | null} key
 * @param {Period} period
 * @returns {ChartRow[]}
 */
function createTimelineRows(key, period) {
  if (!key) return [];
  const end = toTimestamp(period.days[period.days.length - 1]) + DAY_MS;
  return listOwnSessions(key, period)
    .reverse()
    .flatMap((session) => {
      const until = session.begun + (session.length ?? 0) * 1000;
      const value = session.viewer === null ? null : session.viewer * METRICS.viewer_hours.factor;
      const rows = [];
      for (let from = session.begun; from < end && (from < until || from === session.begun); ) {
        const t = Math.floor(from / DAY_MS) * DAY_MS;
        const to = Math.min(until, t + DAY_MS);
        rows.push({
          t,
          t_next: t + DAY_MS,
          first: toTimestamp(period.days[0]),
          last: end,
          from: (from - t) / HOUR_MS,
          to: (to - t) / HOUR_MS,
          state: session.state.label,
          day: formatDayWithWeekday(toDay(t)),
          hours: `${formatClock(session.begun)}${until > session.begun ? `–${formatClock(until)}` : ""} UTC`,
          value,
          shown: formatValue(value, METRICS.viewer_hours),
          message: formatMessage(session),
        });
        from = t + DAY_MS;
      }
      return rows;
    });
}

/**
 * Show the page of the chosen livestream in place of the overview, or the overview.
 * @param {LivestreamKey | null} key
 * @param {Period} period
 */
function showLivestream(key, period) {
  getElement("livestream").hidden = !key;
  document.documentElement.dataset.view = key ? "livestream" : "overview";
  if (!key) return;
  const own = {...period, apps: [key.app]};
  const stream = findLivestream(key);
  const {sessions} = readSessions();
  const {name, status, created_at: created} = sessions.livestreams;
  const label = stream === undefined ? key.id : formatStream({name: name[stream], id: key.id});
  getElement("livestream-title").replaceChildren(isolateText(label));
  getElement("livestream-back").setAttribute("href", formatAddress(null));
  const createdAt = stream === undefined ? null : created[stream];
  getElement("livestream-facts").replaceChildren(
    isolateText(key.id),
    " · app ",
    isolateText(data.apps[key.app]),
    ...(stream !== undefined && status[stream] ? [" · status ", isolateText(status[stream] ?? "")] : []),
    createdAt === null ? "" : ` · created ${formatTime(createdAt * 1000)}`,
  );
  const coverage = formatCoverage(aggregate(METRICS.sessions, own), own);
  const isCut = own.days[0] < sessions.sessions_first;
  getElement("livestream-note").textContent = joinParts(
    coverage,
    isCut ? `sessions before ${formatDay(sessions.sessions_first)} are listed one by one only if they failed` : "",
  );
  const found = listOwnSessions(key, own);
  showLivestreamFigures(key, own, found);
  showCaption("timeline", "Sessions by day and time of day", "UTC; a bar is as long as the session was on air");
  showFailures(found);
  showSessions(found);
  showOwnQuarantine(key, own);
}
