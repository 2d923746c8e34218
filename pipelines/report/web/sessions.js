// Sessions one by one. They are decoded when they are first needed: the first screen does without them.

/**
 * @typedef {object} Session
 * @property {number} stream index of its livestream
 * @property {number} day
 * @property {number} begun Unix time in milliseconds: when it went live, else when it was invoked
 * @property {Cell} length seconds on air; null if it did not go live or has not ended
 * @property {Cell} wait time to live in milliseconds
 * @property {Cell} ingest seconds
 * @property {Cell} viewer seconds
 * @property {SessionState} state
 * @property {number | null} messageKey null for a rare message
 * @property {string} id "" for a session that ended well
 */
/** @typedef {{sessions: EmbeddedSessions, all: Session[], ends: number[]}} DecodedSessions */

const LISTED_FAILURES = 100;
const OTHER_MESSAGES = "(other, rarer messages)";

/** @type {DecodedSessions | undefined} */
let decoded;

/** @returns {DecodedSessions} */
function readSessions() {
  if (decoded) return decoded;
  /** @type {EmbeddedSessions} */
  const sessions = JSON.parse(getElement("sessions").textContent ?? "");
  const {rows} = sessions;
  const ended = sessions.states.length - 1;
  let [n, day, failed, unusual] = [0, 0, 0, 0];
  /** @type {Session[]} */
  const all = [];
  /** @type {number[]} */
  const ends = [];
  for (const [stream, count] of sessions.counts.entries()) {
    for (const end = n + count; n < end; n += 1) {
      day += rows.day[n];
      const code = Number(rows.state[n]);
      const state = sessions.states[code];
      const [ingest, more] = [rows.ingest_seconds[n], rows.length[n]];
      all.push({
        stream,
        day,
        begun: toTimestamp(day) + rows.begun[n] * 1000,
        length: more === null ? null : more + Math.round(ingest ?? 0),
        wait: rows.wait[n],
        ingest,
        viewer: rows.viewer_seconds[n],
        state,
        messageKey: state.is_failed ? rows.message[failed++] : null,
        id: code === ended ? "" : (rows.session_id[unusual++] ?? ""),
      });
    }
    ends.push(n);
  }
  decoded = {sessions, all, ends};
  return decoded;
}

/**
 * Sessions of a livestream in the period, the newest first.
 * @param {number} stream
 * @param {Period} period
 */
function listSessions(stream, period) {
  const {all, ends} = readSessions();
  const own = all.slice(stream ? ends[stream - 1] : 0, ends[stream]);
  return own.filter(({day}) => isWithin(day, period)).reverse();
}

/**
 * Failed sessions of the period with a message, the newest first.
 * @param {number} messageKey
 * @param {Period} period
 */
function listFailedSessions(messageKey, period) {
  const {all, sessions} = readSessions();
  const wanted = data.messages.keys.message[messageKey] === null ? null : messageKey;
  return all
    .filter(
      ({state, messageKey: key, day, stream}) =>
        state.is_failed &&
        key === wanted &&
        isWithin(day, period) &&
        period.apps.includes(sessions.livestreams.app[stream]),
    )
    .sort((a, b) => b.begun - a.begun);
}

/** @param {Session} session */
function formatBegin({begun}) {
  return `${weekdayFormat.format(begun)} ${formatTime(begun)}`;
}

/** @param {Session} session */
function formatMessage({state, messageKey}) {
  if (!state.is_failed) return DASH;
  return (messageKey === null ? null : data.messages.keys.message[messageKey]) ?? OTHER_MESSAGES;
}

/**
 * A link to the page of a livestream.
 * @param {number} app
 * @param {string} id
 * @param {string | null} name
 */
function createStreamLink(app, id, name) {
  const title = `${id} · ${data.apps[app]}`;
  return createElement("a", {href: formatAddress({app, id}), title}, isolateText(formatStream({name, id})));
}

/**
 * A closed list of the failed sessions with a message, filled when it is opened.
 * @param {number} messageKey
 * @param {number} count
 * @param {Period} period
 */
function createFailureList(messageKey, count, period) {
  const list = createElement("ul", {});
  const details = /** @type {HTMLDetailsElement} */ (
    createElement(
      "details",
      {},
      createElement("summary", {}, `Show ${formatCount(count, "session", "sessions")}`),
      list,
    )
  );
  details.addEventListener("toggle", () => {
    if (!details.open || list.childElementCount) return;
    const {sessions} = readSessions();
    const found = listFailedSessions(messageKey, period);
    const {app, livestream_id, name} = sessions.livestreams;
    const items = found.slice(0, LISTED_FAILURES).map((session) => {
      const n = session.stream;
      const link = createStreamLink(app[n], livestream_id[n], name[n]);
      const place = data.apps.length > 1 ? [" in ", isolateText(data.apps[app[n]])] : [];
      return createElement(
        "li",
        {},
        `${formatBegin(session)}: `,
        link,
        ...place,
        `, ${session.state.label}, session `,
        isolateText(session.id),
      );
    });
    if (found.length < count || found.length > items.length) {
      items.push(
        createElement("li", {}, `The newest ${formatNumber(items.length, 0)} of ${formatNumber(count, 0)} are listed.`),
      );
    }
    list.replaceChildren(...items);
  });
  return details;
}
