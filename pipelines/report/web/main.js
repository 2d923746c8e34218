// What is chosen on the page, kept in the address so that it can be passed on, and what follows from it.

const PRESETS = [7, 14, 30, 90];
const chosen = {app: -1, from: 0, to: LAST_DAY, metric: "viewer_hours", rank: "viewer_seconds"};
const controls = Object.fromEntries(
  ["app", "from", "to", "metric", "rank", "presets", "theme"].map((id) => [id, document.getElementById(id)]),
);
let drawing = Promise.resolve();

function presetRange(days) {
  return [Math.max(0, LAST_DAY - days + 1), LAST_DAY];
}

/** The longest preset of which the period before is loaded too; everything where none is. */
function firstRange() {
  const days = [30, 14, 7].find((length) => LAST_DAY + 1 >= 2 * length);
  return days ? presetRange(days) : [0, LAST_DAY];
}

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const day = (name) => Math.round((Date.parse(given.get(name)) - FIRST) / DAY);
  [chosen.from, chosen.to] = firstRange();
  chosen.app = data.apps.indexOf(given.get("app"));
  if (day("from") <= day("to") && day("to") - day("from") < 3700) [chosen.from, chosen.to] = [day("from"), day("to")];
  if (METRICS[given.get("metric")]) chosen.metric = given.get("metric");
}

function writeAddress() {
  const state = new URLSearchParams({from: isoDay(chosen.from), to: isoDay(chosen.to), metric: chosen.metric});
  if (chosen.app >= 0) state.set("app", data.apps[chosen.app]);
  try {
    history.replaceState(null, "", `#${state}`);
  } catch {
    // some browsers keep the address of a local file to themselves
  }
}

function showScope(period, before) {
  const who =
    chosen.app < 0 ? (data.apps.length > 1 ? `all apps (${data.apps.length})` : data.apps[0]) : data.apps[chosen.app];
  const length = counted(period.days.length, "day", "days");
  const compared = `compared with ${rangeText(before.days[0], before.days[before.days.length - 1])}`;
  document
    .getElementById("scope")
    .replaceChildren(`${rangeText(chosen.from, chosen.to)} (${length}, UTC) · `, named(who), ` · ${compared}`);
}

function showControls() {
  controls.app.value = String(chosen.app);
  controls.from.value = isoDay(chosen.from);
  controls.to.value = isoDay(chosen.to);
  controls.metric.value = chosen.metric;
  controls.rank.value = chosen.rank;
  for (const button of controls.presets.children) {
    const range =
      button.dataset.days === "all" ? [0, LAST_DAY] : [LAST_DAY - Number(button.dataset.days) + 1, LAST_DAY];
    button.setAttribute("aria-pressed", String(range[0] === chosen.from && range[1] === chosen.to));
  }
}

/** Show what is chosen. Charts follow one update after the other, in the order of the choices. */
function update() {
  const apps = chosen.app < 0 ? ALL_APPS : [chosen.app];
  const length = chosen.to - chosen.from + 1;
  const period = {apps, days: daysFrom(chosen.from, chosen.to)};
  const before = {apps, days: daysFrom(chosen.from - length, chosen.from - 1)};
  const metric = METRICS[chosen.metric];
  showControls();
  showScope(period, before);
  showTiles(period, before);
  showApps(period, before, chosen.app);
  const streams = rankedStreams(period, chosen.rank);
  showTop(period, chosen.rank, streams);
  showMessages(period, before);
  showCost(period, before);
  showTrust(period);
  captionCharts(metric, period, before, chosen.rank);
  const rows = chartRows(metric, period, before, chosen.rank, streams);
  document.documentElement.dataset.state = "drawing";
  drawing = drawing
    .then(() => (Object.keys(views).length ? updateCharts(rows) : drawCharts(rows)))
    .then(() => {
      document.documentElement.dataset.state = "drawn";
    });
}

function choose(changes) {
  Object.assign(chosen, changes);
  writeAddress();
  update();
}

function dayOf(input) {
  return Math.round((Date.parse(input.value) - FIRST) / DAY);
}

function chooseDates(moved) {
  const [from, to] = [dayOf(controls.from), dayOf(controls.to)];
  if (Number.isNaN(from) || Number.isNaN(to) || Math.abs(to - from) >= 3700) return;
  if (from <= to) choose({from, to});
  else choose(moved === "from" ? {from, to: from} : {from: to, to});
}

function themes() {
  const root = document.documentElement;
  const names = ["auto", "light", "dark"];
  const set = (name) => {
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
  set(names.includes(stored) ? stored : "auto");
  controls.theme.addEventListener("click", () => {
    const next = names[(names.indexOf(root.dataset.theme || "auto") + 1) % names.length];
    set(next);
    try {
      localStorage.setItem("livehouse-theme", next);
    } catch {
      // as above
    }
  });
}

function start() {
  const option = (value, text) => el("option", {value}, text);
  controls.app.append(
    ...(data.apps.length > 1 ? [option("-1", `All apps (${data.apps.length})`)] : []),
    ...data.apps.map((name, app) => option(String(app), name)),
  );
  controls.metric.append(...Object.entries(METRICS).map(([id, metric]) => option(id, metric.label)));
  controls.rank.append(...Object.entries(RANKS).map(([id, rank]) => option(id, rank.label)));
  for (const days of [...PRESETS, "all"]) {
    const button = el("button", {type: "button", "data-days": String(days)}, days === "all" ? "All" : `${days} d`);
    button.addEventListener("click", () => {
      const [from, to] = days === "all" ? [0, LAST_DAY] : [LAST_DAY - days + 1, LAST_DAY];
      choose({from, to});
    });
    controls.presets.append(button);
  }
  controls.app.addEventListener("change", () => choose({app: Number(controls.app.value)}));
  controls.metric.addEventListener("change", () => choose({metric: controls.metric.value}));
  controls.rank.addEventListener("change", () => choose({rank: controls.rank.value}));
  controls.from.addEventListener("change", () => chooseDates("from"));
  controls.to.addEventListener("change", () => chooseDates("to"));
  document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
  themes();
  readAddress();
  if (data.apps.length === 1) chosen.app = 0;
  document.getElementById("audience").hidden = !data.audience.day.length;
  update();
}

start();
