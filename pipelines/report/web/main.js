// The choices on the page, kept in its address so that a link shows the same, and the update of tables and charts after each choice.

const PRESETS = [7, 14, 30, 90];
const MOST_DAYS = 3700;
const chosen = {app: TOGETHER, from: 0, to: LAST_DAY, metric: "viewer_hours", rank: "viewer_seconds"};
const controls = {
  app: /** @type {HTMLSelectElement} */ (getElement("app")),
  from: /** @type {HTMLInputElement} */ (getElement("from")),
  to: /** @type {HTMLInputElement} */ (getElement("to")),
  metric: /** @type {HTMLSelectElement} */ (getElement("metric")),
  rank: /** @type {HTMLSelectElement} */ (getElement("rank")),
  presets: getElement("presets"),
  theme: getElement("theme"),
};
let drawing = Promise.resolve();
/** @type {Record<string, ChartView>} */
const views = {};

/** The longest preset of which the period before is loaded too; everything if there is no such preset. */
function getFirstRange() {
  const days = [30, 14, 7].find((length) => LAST_DAY + 1 >= 2 * length);
  return [days ? LAST_DAY - days + 1 : 0, LAST_DAY];
}

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const [from, to] = [parseIsoDay(given.get("from")), parseIsoDay(given.get("to"))];
  [chosen.from, chosen.to] = from <= to && to - from < MOST_DAYS ? [from, to] : getFirstRange();
  chosen.app = data.apps.length === 1 ? 0 : data.apps.indexOf(given.get("app") ?? "");
  const metric = given.get("metric") ?? "";
  if (Object.hasOwn(METRICS, metric)) chosen.metric = metric;
}

function writeAddress() {
  const state = new URLSearchParams({from: toIsoDay(chosen.from), to: toIsoDay(chosen.to), metric: chosen.metric});
  if (chosen.app !== TOGETHER) state.set("app", data.apps[chosen.app]);
  try {
    history.replaceState(null, "", `#${state}`);
  } catch {
    // some browsers do not let a local file change its address
  }
}

/**
 * @param {Period} period
 * @param {Period} before
 */
function showScope(period, before) {
  const app = chosen.app === TOGETHER ? `all apps (${data.apps.length})` : data.apps[chosen.app];
  const length = formatCount(period.days.length, "day", "days");
  const compared = `compared with ${formatRange(before.days[0], before.days[before.days.length - 1])}`;
  getElement("scope").replaceChildren(
    `${formatRange(chosen.from, chosen.to)} (${length}, UTC) · `,
    isolateText(app),
    ` · ${compared}`,
  );
}

function showControls() {
  controls.app.value = String(chosen.app);
  controls.from.value = toIsoDay(chosen.from);
  controls.to.value = toIsoDay(chosen.to);
  controls.metric.value = chosen.metric;
  controls.rank.value = chosen.rank;
  for (const button of controls.presets.querySelectorAll("button")) {
    const [from, to] = getPresetRange(button.dataset.days ?? "");
    button.setAttribute("aria-pressed", String(from === chosen.from && to === chosen.to));
  }
}

/** @param {string} days */
function getPresetRange(days) {
  return [days === "all" ? 0 : LAST_DAY - Number(days) + 1, LAST_DAY];
}

/** @param {Record<string, ChartRow[]>} rows */
async function drawCharts(rows) {
  const specifications = JSON.parse(getElement("charts").textContent ?? "");
  for (const [name, specification] of Object.entries(specifications)) {
    const place = getElement(`chart-${name}`);
    const figure = place.parentElement;
    if (!figure || figure.hidden) continue;
    specification.datasets = {[name]: rows[name]};
    describeMarks(specification);
    specification.description = figure.querySelector("figcaption")?.firstChild?.textContent;
    // `ast`: Vega interprets expressions, so the page need not allow eval.
    // `logLevel`: log errors only; a chart without rows is not worth a warning.
    const {view} = await window.vegaEmbed(place, specification, {
      renderer: "svg",
      actions: false,
      ast: true,
      defaultStyle: false,
      tooltip: {disableDefaultStyle: true},
      logLevel: 1,
    });
    views[name] = view;
    updateChartAccess(name, view);
  }
}

/** @param {Record<string, ChartRow[]>} rows */
async function updateCharts(rows) {
  for (const [name, view] of Object.entries(views)) {
    await view.data(name, rows[name]).runAsync();
    updateChartAccess(name, view);
  }
}

/** Show the current choice. Charts follow one update after the other, in the order of the choices. */
function update() {
  const apps = chosen.app === TOGETHER ? ALL_APPS : [chosen.app];
  const length = chosen.to - chosen.from + 1;
  const period = {apps, days: listDays(chosen.from, chosen.to)};
  const before = {apps, days: listDays(chosen.from - length, chosen.from - 1)};
  const metric = METRICS[chosen.metric];
  showControls();
  showScope(period, before);
  showTiles(period, before);
  showApps(period, before, chosen.app);
  const streams = rankStreams(period, chosen.rank);
  showTop(period, chosen.rank, streams);
  showMessages(period, before);
  showCost(period, before);
  showTrust(period);
  captionCharts(metric, period, chosen.rank);
  const rows = createChartRows(metric, period, before, chosen.rank, streams);
  for (const [name, list] of Object.entries(rows))
    describeRows(name, list, name === "top" ? RANKS[chosen.rank] : metric);
  document.documentElement.dataset.state = "drawing";
  drawing = drawing
    .then(() => (Object.keys(views).length ? updateCharts(rows) : drawCharts(rows)))
    .then(() => {
      document.documentElement.dataset.state = "drawn";
    });
}

/** @param {Partial<typeof chosen>} changes */
function choose(changes) {
  Object.assign(chosen, changes);
  writeAddress();
  update();
}

/** @param {"from" | "to"} moved the end that follows if the dates are in the wrong order */
function chooseDates(moved) {
  const [from, to] = [parseIsoDay(controls.from.value), parseIsoDay(controls.to.value)];
  if (Number.isNaN(from) || Number.isNaN(to) || Math.abs(to - from) >= MOST_DAYS) return;
  if (from <= to) choose({from, to});
  else choose(moved === "from" ? {from, to: from} : {from: to, to});
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
  for (const days of [...PRESETS.map(String), "all"]) {
    const label = days === "all" ? "All" : `${days} d`;
    const button = createElement("button", {type: "button", "data-days": days}, label);
    button.addEventListener("click", () => {
      const [from, to] = getPresetRange(days);
      choose({from, to});
    });
    controls.presets.append(button);
  }
  controls.app.addEventListener("change", () => choose({app: Number(controls.app.value)}));
  controls.metric.addEventListener("change", () => choose({metric: controls.metric.value}));
  controls.rank.addEventListener("change", () => choose({rank: controls.rank.value}));
  controls.from.addEventListener("change", () => chooseDates("from"));
  controls.to.addEventListener("change", () => chooseDates("to"));
  getElement("controls").addEventListener("submit", (event) => event.preventDefault());
  startThemes();
  readAddress();
  getElement("audience").hidden = !data.audience.day.length;
  update();
}

start();
