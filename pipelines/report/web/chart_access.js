// Every value of a chart by touch, keyboard and screen reader: a slider over its values, a tap, and the values as a table.

/** A column of a chart's values: its heading, the text to show, and the field with the exact value for files. */
/** @typedef {[heading: string, text: string, exact?: string]} ChartColumn */

/** @type {ChartColumn} */
const DAY_COLUMN = ["Day", "day", "t"];
/** @type {ChartColumn} */
const STATE_COLUMN = ["Known", "state"];

/** Values drawn in each chart, and its metric. */
/** @type {Record<string, {rows: ChartRow[], metric: Metric}>} */
const chartValues = {};
/** The view of each chart that is drawn now. */
/** @type {Record<string, ChartView>} */
const chartViews = {};

/** @param {Metric} metric */
function nameMeasure({label, unit}) {
  return unit === "" || label.toLowerCase().includes({h: "hours", min: "minutes"}[unit] ?? unit)
    ? label
    : `${label} (${unit})`;
}

/**
 * @param {string} name
 * @returns {ChartColumn[]}
 */
function listChartColumns(name) {
  const measure = nameMeasure(chartValues[name].metric);
  /** @type {Record<string, ChartColumn[]>} */
  const columns = {
    days: [DAY_COLUMN, [measure, "shown", "value"], ["Period before", "shown_before", "before"], STATE_COLUMN],
    weekdays: [
      ["Weekday", "weekday"],
      [measure, "shown", "value"],
      ["Period before", "shown_before", "before"],
      ["Known days", "days"],
    ],
    peaks: [DAY_COLUMN, ["Most streams at once", "shown", "value"], ["First at", "moment"], STATE_COLUMN],
    audience: [DAY_COLUMN, ["Most viewers at once", "shown", "value"], ["First at", "moment"], STATE_COLUMN],
    top: [
      ["Livestream", "label"],
      ["App", "app"],
      [measure, "shown", "value"],
    ],
    waits: [DAY_COLUMN, ["Series", "series"], ["Time to live (s)", "shown", "seconds"], ["Sessions", "sessions"]],
    failures: [DAY_COLUMN, ["Kind", "kind"], ["Sessions", "shown", "value"]],
    verdicts: [DAY_COLUMN, ["App", "app"], ["Verdict", "verdict"]],
  };
  return columns[name];
}

/**
 * A value in words, such as "812.3 viewer hours".
 * @param {Metric} metric
 * @param {Cell} value
 */
function describeValue(metric, value) {
  const label = metric.label[0].toLowerCase() + metric.label.slice(1);
  if (value === null) return `${label} unknown`;
  const number = formatValue(value, {...metric, unit: ["%", "s", "$"].includes(metric.unit) ? metric.unit : ""});
  return `${number} ${number === "1" ? label.replace(/s$/, "") : label}`;
}

/**
 * A row of a chart in words, such as "Wed 4 Nov 2026, 812.3 viewer hours".
 * @param {string} name
 * @param {ChartRow} row
 */
function describeRow(name, row) {
  const value = /** @type {Cell} */ (row.value ?? null);
  const part = row.state === "partial" ? " (only a part is known)" : "";
  const measured = describeValue(chartValues[name].metric, value) + part;
  /** @type {Record<string, () => string>} */
  const descriptions = {
    days: () => `${row.day}, ${measured}`,
    weekdays: () => `${row.weekday}, ${measured}`,
    peaks: () => `${row.day}, most streams at once: ${row.shown}`,
    audience: () => `${row.day}, most viewers at once: ${row.shown}`,
    top: () => `${row.label} (${row.app}), ${measured}`,
    waits: () => `${row.day}, ${row.series} ${row.shown} of ${row.sessions} sessions`,
    failures: () => `${row.day}, ${row.kind}: ${row.shown}`,
    verdicts: () => `${row.day}, ${row.verdict}: ${row.app}`,
  };
  return descriptions[name]();
}

/**
 * The values of a chart as a grid: exact numbers and ISO days.
 * @param {string} name
 * @returns {Grid}
 */
function readChart(name) {
  const columns = listChartColumns(name);
  const lines = chartValues[name].rows.map((row) =>
    columns.map(([, text, exact]) => {
      if (exact === "t") return new Date(Number(row.t)).toISOString().slice(0, 10);
      return row[exact ?? text] ?? null;
    }),
  );
  return [columns.map(([heading]) => heading), ...lines];
}

/** @param {string} name */
function showChartTable(name) {
  const columns = listChartColumns(name);
  const caption = getElement(`${name}-caption`).firstChild?.textContent ?? "";
  showTable(`values-${name}`, {
    caption: `${caption}: values`,
    columns: columns.map(([heading, , exact]) => [heading, exact && exact !== "t" ? "number" : "nowrap"]),
    rows: chartValues[name].rows.map((row) => ({
      cells: columns.map(([, text]) =>
        text === "label" || text === "app" ? isolateText(String(row[text])) : String(row[text] ?? DASH),
      ),
    })),
    nothing: "none in this period.",
  });
}

/**
 * Where a row is in its chart, in pixels of the chart's element.
 * @param {ChartView} view
 * @param {ChartRow} row
 */
function locateRow(view, row) {
  const [left, top] = view.origin();
  const box = {left, top, width: view.width(), height: view.height()};
  for (const [side, size, scaleName] of /** @type {const} */ ([
    ["left", "width", "x"],
    ["top", "height", "y"],
  ])) {
    const scale = view.scale(scaleName);
    if (!scale?.bandwidth) continue;
    const place = scale(scaleName === "y" ? (row.label ?? row.verdict) : (row.t ?? row.weekday));
    if (place === undefined) continue;
    box[side] += place;
    box[size] = scale.bandwidth();
  }
  return box;
}

/**
 * Put what makes the values of a chart reachable around it.
 * @param {string} name
 */
function addChartAccess(name) {
  const place = getElement(`chart-${name}`);
  const figure = /** @type {HTMLElement} */ (place.closest("figure"));
  const slider = /** @type {HTMLInputElement} */ (
    createElement("input", {type: "range", class: "values", min: "0", step: "1"})
  );
  const band = createElement("div", {class: "band", hidden: ""});
  const reading = createElement("div", {class: "reading", "aria-hidden": "true", hidden: ""});
  const values = createElement("div", {class: "table values", id: `values-${name}`, tabindex: "0", hidden: ""});
  const frame = createElement("div", {class: "frame"});

  const hide = () => {
    band.hidden = true;
    reading.hidden = true;
  };
  /** @param {number} n */
  const show = (n) => {
    const [row, view] = [chartValues[name].rows[n], chartViews[name]];
    if (!row) return hide();
    const box = locateRow(view, row);
    const text = describeRow(name, row);
    slider.value = String(n);
    slider.setAttribute("aria-valuetext", text);
    for (const [side, value] of Object.entries(box)) band.style.setProperty(side, `${value}px`);
    reading.replaceChildren(
      text,
      row.shown_before ? createElement("small", {}, `Period before: ${row.shown_before}`) : "",
    );
    band.hidden = false;
    reading.hidden = false;
    const middle = box.left + Math.min(box.width, view.width()) / 2;
    const most = Math.max(0, frame.clientWidth - reading.offsetWidth);
    reading.style.left = `${Math.min(most, Math.max(0, middle - reading.offsetWidth / 2))}px`;
    reading.style.top = `${Math.max(0, box.top - reading.offsetHeight - 4)}px`;
  };
  /** @param {PointerEvent} event */
  const showNearest = (event) => {
    const inside = frame.getBoundingClientRect();
    const [x, y] = [event.clientX - inside.left, event.clientY - inside.top];
    /** @type {(row: ChartRow) => number} */
    const measure = (row) => {
      const box = locateRow(chartViews[name], row);
      return Math.abs(box.left + box.width / 2 - x) + Math.abs(box.top + box.height / 2 - y);
    };
    const distances = chartValues[name].rows.map(measure);
    show(distances.indexOf(distances.reduce((a, b) => Math.min(a, b), Infinity)));
  };
  let isTap = false;
  frame.addEventListener("pointerup", (event) => {
    isTap = event.pointerType !== "mouse";
    if (isTap) showNearest(event);
  });
  // after a tap, the browser would imitate a mouse, for which Vega shows its own tooltip
  frame.addEventListener("touchend", (event) => isTap && event.preventDefault(), {passive: false});
  document.addEventListener("pointerdown", (event) => {
    if (!frame.contains(/** @type {Node} */ (event.target))) hide();
  });
  slider.addEventListener("focus", () => show(Number(slider.value)));
  slider.addEventListener("input", () => show(Number(slider.value)));
  slider.addEventListener("blur", hide);
  slider.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });

  const table = createTool("Show as table", "Show the values as a table", () => {
    values.hidden = !values.hidden;
    table.setAttribute("aria-expanded", String(!values.hidden));
    if (!values.hidden) showChartTable(name);
  });
  table.setAttribute("aria-expanded", "false");
  table.setAttribute("aria-controls", values.id);
  const tools = [
    table,
    ...createValueTools(name, () => readChart(name)),
    createTool("SVG", "Save the chart as SVG", () => saveSvg(name, figure), "saved"),
    createTool("PNG", "Save the chart as PNG", () => savePng(name, figure), "saved"),
  ];
  place.replaceWith(frame);
  frame.append(place, band, reading, slider);
  frame.after(createElement("div", {class: "tools", role: "group"}, ...tools), values);
  figure.addEventListener("redrawn", hide);
}

/**
 * Bring what surrounds a chart up to date with the rows that are drawn now. Without a view it is hidden: nothing is drawn.
 * @param {string} name
 * @param {ChartView | null} view
 */
function updateChartAccess(name, view) {
  const figure = /** @type {HTMLElement} */ (getElement(`chart-${name}`).closest("figure"));
  if (!view) {
    for (const element of figure.querySelectorAll(".frame > input, .tools, .values"))
      element.setAttribute("hidden", "");
    return;
  }
  chartViews[name] = view;
  if (!figure.querySelector(".frame")) addChartAccess(name);
  for (const element of figure.querySelectorAll(".frame > input, .tools")) element.removeAttribute("hidden");
  const caption = figure.querySelector("figcaption")?.firstChild?.textContent ?? "";
  const slider = /** @type {HTMLInputElement} */ (figure.querySelector("input.values"));
  const {rows} = chartValues[name];
  slider.max = String(Math.max(0, rows.length - 1));
  slider.value = slider.max;
  slider.disabled = !rows.length;
  slider.setAttribute("aria-label", `Values: ${caption}`);
  slider.setAttribute("aria-valuetext", rows.length ? describeRow(name, rows[rows.length - 1]) : "none");
  figure.querySelector(".tools")?.setAttribute("aria-label", `Export: ${caption}`);
  figure.dispatchEvent(new Event("redrawn"));
  const isOpen = figure.querySelector(".tools [aria-expanded]")?.getAttribute("aria-expanded") === "true";
  getElement(`values-${name}`).hidden = !isOpen;
  if (isOpen) showChartTable(name);
}

/**
 * Rows with a description each, which is also the accessible name of its mark.
 * @param {string} name
 * @param {ChartRow[]} rows
 * @param {Metric} metric
 */
function describeRows(name, rows, metric) {
  chartValues[name] = {rows, metric};
  for (const row of rows) row.description = describeRow(name, row);
  return rows;
}

/**
 * Let each bar and point be called by its row's description. Lines and the bands of unknown days have no name of their own.
 * @param {any} specification
 */
function describeMarks(specification) {
  for (const part of specification.layer ?? [specification]) {
    if (part.layer) describeMarks(part);
    else if (part.mark.type === "line" || part.transform) part.mark.aria = false;
    else if (part.encoding.tooltip) part.encoding.description = {field: "description", type: "nominal"};
  }
}
