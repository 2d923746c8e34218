// The choices on the page, kept in its address so that a link shows the same, and the update of tables and charts after each choice.

const MOST_DAYS = 3700;
/** `range` is a name in RANGES, or "" for the dates `from` and `to`. */
const chosen = {
  app: TOGETHER,
  range: "",
  from: 0,
  to: LAST_DAY,
  metric: "viewer_hours",
  rank: "viewer_seconds",
  livestream: /** @type {LivestreamKey | null} */ (null),
};
const controls = {
  app: /** @type {HTMLSelectElement} */ (getElement("app")),
  from: /** @type {HTMLInputElement} */ (getElement("from")),
  to: /** @type {HTMLInputElement} */ (getElement("to")),
  metric: /** @type {HTMLSelectElement} */ (getElement("metric")),
  rank: /** @type {HTMLSelectElement} */ (getElement("rank")),
  ranges: getElement("ranges"),
  dates: getElement("show-dates"),
  theme: getElement("theme"),
};
let drawing = Promise.resolve();

/** @param {string} range */
function chooseRange(range) {
  const [from, to] = RANGES[range].find();
  Object.assign(chosen, {range, from, to});
}

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const [from, to] = [parseIsoDay(given.get("from")), parseIsoDay(given.get("to"))];
  const range = given.get("range") ?? "";
  if (Object.hasOwn(RANGES, range)) chooseRange(range);
  else if (from <= to && to - from < MOST_DAYS) Object.assign(chosen, {range: "", from, to});
  else chooseRange(getFirstRange());
  chosen.app = data.apps.length === 1 ? 0 : data.apps.indexOf(given.get("app") ?? "");
  const metric = given.get("metric") ?? "";
  if (Object.hasOwn(METRICS, metric)) chosen.metric = metric;
  const [id, app] = [given.get("livestream"), data.apps.indexOf(given.get("livestream_app") ?? "")];
  chosen.livestream = id && app >= 0 ? {app, id} : null;
}

/**
 * The address of what is chosen, but for the livestream. A named range stays a name in it: the same link shows the last 28 days of
 * tomorrow's page too.
 * @param {LivestreamKey | null} livestream
 */
function formatAddress(livestream) {
  /** @type {Record<string, string>} */
  const days = chosen.range ? {range: chosen.range} : {from: toIsoDay(chosen.from), to: toIsoDay(chosen.to)};
  const state = new URLSearchParams({...days, metric: chosen.metric});
  if (chosen.app !== TOGETHER) state.set("app", data.apps[chosen.app]);
  if (livestream) {
    state.set("livestream", livestream.id);
    state.set("livestream_app", data.apps[livestream.app]);
  }
  return `#${state}`;
}

function writeAddress() {
  try {
    history.replaceState(null, "", formatAddress(chosen.livestream));
  } catch {
    // some browsers do not let a local file change its address
  }
}

/**
 * What the period is compared with, or why not: stated once here, not beside each figure.
 * @param {Period} period
 * @param {Comparison} before
 */
function describeComparison(period, before) {
  if (!before.days.length) return "not compared";
  const [now, then] = [aggregate(METRICS.sessions, period), aggregate(METRICS.sessions, before)];
  const compared = `compared with ${before.name}`;
  if (!then.known) return `${compared}, which is not known`;
  if (then.known < then.wanted) return `${compared}, of which ${formatCoverage(then, before)}: no change is shown`;
  if (now.known < now.wanted) return `${compared}; no change is shown, as ${formatCoverage(now, period)}`;
  return compared;
}

/**
 * @param {Period} period
 * @param {Comparison} before
 */
function showScope(period, before) {
  const app = chosen.app === TOGETHER ? `all apps (${data.apps.length})` : data.apps[chosen.app];
  const length = formatCount(period.days.length, "day", "days");
  const range = `${formatRange(chosen.from, chosen.to)} (${length}, UTC)`;
  if (chosen.livestream) {
    getElement("scope").replaceChildren(range);
    return;
  }
  getElement("scope").replaceChildren(`${range} · `, isolateText(app), ` · ${describeComparison(period, before)}`);
}

/**
 * Whether any figure of the period is loaded; if not, say so in place of figures and charts.
 * @param {Period} period
 */
function showWhetherLoaded({apps, days}) {
  const isLoaded = days.some((day) => apps.some((app) => findRow("days", app, day) !== undefined));
  getElement("report").classList.toggle("is-unloaded", !isLoaded);
  const loaded = formatRange(0, LAST_DAY);
  getElement("unloaded").textContent = isLoaded
    ? ""
    : `None of these days is loaded. The page has figures of ${loaded}.`;
}

function showControls() {
  controls.app.value = String(chosen.app);
  controls.from.value = toIsoDay(chosen.from);
  controls.to.value = toIsoDay(chosen.to);
  controls.metric.value = chosen.metric;
  controls.rank.value = chosen.rank;
  for (const button of controls.ranges.querySelectorAll("button")) {
    const isChosen = button.dataset.range === chosen.range;
    button.setAttribute("aria-pressed", String(isChosen));
    if (isChosen) controls.ranges.scrollLeft = button.offsetLeft - controls.ranges.offsetLeft - 40;
  }
}

/** Show the current choice: first what the first screen holds. One update follows the other, in the order of the choices. */
function update() {
  const apps = chosen.app === TOGETHER ? ALL_APPS : [chosen.app];
  const days = listDays(chosen.from, chosen.to);
  const {shift, ...compared} = findComparison(chosen.range, chosen.from, chosen.to);
  const period = {apps, days, ...listBuckets(days, shift)};
  const before = {apps, ...compared};
  const lines = listCoverage(period);
  showControls();
  showScope(period, before);
  showWhetherLoaded(period);
  showTrustLine(period, lines);
  showTiles(period, before);
  showLivestream(chosen.livestream, period);
  const metric = METRICS[chosen.metric];
  const rows = describeRows("days", createDaysRows(metric, period), metric);
  captionDays(metric, period, before, rows);
  const {rank, livestream} = chosen;
  document.documentElement.dataset.state = "drawing";
  drawing = drawing
    .then(() => drawCharts({days: rows}, period))
    .then(() => new Promise((resolve) => setTimeout(resolve))) // lets the browser paint
    .then(() => showRest(metric, period, before, {rank, livestream}, lines))
    .then(() => {
      document.documentElement.dataset.state = "drawn";
    });
}

/**
 * Show what is below the first screen.
 * @param {Metric} metric
 * @param {ChartPeriod} period
 * @param {Comparison} before
 * @param {Pick<typeof chosen, "rank" | "livestream">} choice
 * @param {CoverageLine[]} lines
 */
function showRest(metric, period, before, {rank, livestream}, lines) {
  const streams = rankStreams(period, rank);
  showApps(period, before);
  showTop(period, rank, streams);
  showMessages(period, before);
  showCost(period, before);
  showAllowances();
  showTrust(period, lines);
  const rows = {
    ...createChartRows(metric, period, before, rank, streams),
    timeline: createTimelineRows(livestream, period),
  };
  for (const [name, list] of Object.entries(rows)) describeRows(name, list, name === "top" ? RANKS[rank] : metric);
  captionCharts(metric, period, before, rank, rows);
  return drawCharts(rows, period);
}

/** @param {Partial<typeof chosen>} changes */
function choose(changes) {
  Object.assign(chosen, changes);
  writeAddress();
  update();
}

/** Show what a link within the page, or the browser's history, leads to. */
function followAddress() {
  const before = JSON.stringify(chosen.livestream);
  readAddress();
  update();
  if (JSON.stringify(chosen.livestream) === before) return;
  scrollTo(0, 0);
  if (chosen.livestream) getElement("livestream-title").focus();
}

/** @param {"from" | "to"} moved the end that follows if the dates are in the wrong order */
function chooseDates(moved) {
  const [from, to] = [parseIsoDay(controls.from.value), parseIsoDay(controls.to.value)];
  if (Number.isNaN(from) || Number.isNaN(to) || Math.abs(to - from) >= MOST_DAYS) return;
  if (from <= to) choose({range: "", from, to});
  else choose(moved === "from" ? {range: "", from, to: from} : {range: "", from: to, to});
}

function startThemes() {
  const root = document.documentElement;
  const names = ["auto", "light", "dark"];
  /** @param {string} name */
  const setTheme = (name) => {
    if (name === "auto") delete root.dataset.theme;
    else root.dataset.theme = name;
    controls.theme.textContent = `Theme: ${name}`;
  };
  let stored = null;
  try {
    stored = localStorage.getItem("livehouse-theme");
  } catch {
    // a local file may have no storage: then the choice lasts as long as the page
  }
  setTheme(stored && names.includes(stored) ? stored : "auto");
  controls.theme.addEventListener("click", () => {
    const next = names[(names.indexOf(root.dataset.theme ?? "auto") + 1) % names.length];
    setTheme(next);
    try {
      localStorage.setItem("livehouse-theme", next);
    } catch {
      // as above
    }
  });
}

function start() {
  /** @type {(value: string, text: string) => HTMLElement} */
  const createOption = (value, text) => createElement("option", {value}, text);
  if (data.apps.length > 1) {
    controls.app.append(createOption(String(TOGETHER), `All apps (${data.apps.length})`));
  }
  for (const app of ALL_APPS) controls.app.append(createOption(String(app), data.apps[app]));
  for (const [id, {label}] of Object.entries(METRICS)) controls.metric.append(createOption(id, label));
  for (const [id, {label}] of Object.entries(RANKS)) controls.rank.append(createOption(id, label));
  for (const [range, {label}] of Object.entries(RANGES)) {
    const button = createElement("button", {type: "button", "data-range": range}, label);
    button.addEventListener("click", () => {
      chooseRange(range);
      choose({});
    });
    controls.ranges.append(button);
  }
  controls.app.addEventListener("change", () => choose({app: Number(controls.app.value), livestream: null}));
  controls.metric.addEventListener("change", () => choose({metric: controls.metric.value}));
  controls.rank.addEventListener("change", () => choose({rank: controls.rank.value}));
  controls.from.addEventListener("change", () => chooseDates("from"));
  controls.to.addEventListener("change", () => chooseDates("to"));
  controls.dates.addEventListener("click", () => {
    const isOpen = controls.dates.getAttribute("aria-expanded") !== "true";
    controls.dates.setAttribute("aria-expanded", String(isOpen));
  });
  getElement("controls").addEventListener("submit", (event) => event.preventDefault());
  const loadedAt = data.days.loaded_at.reduce((latest, at) => Math.max(latest, at), 0);
  getElement("loaded-at").textContent = `Last loaded ${formatTime(loadedAt)}`;
  startThemes();
  window.addEventListener("hashchange", followAddress);
  readAddress();
  update();
}

start();
