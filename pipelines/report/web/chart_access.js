// Every value of a chart by touch, keyboard and screen reader: a slider over its values, a tap, and the values as a table.

/** The view of each chart that is drawn now. */
/** @type {Record<string, ChartView>} */
const chartViews = {};

/** @param {string} name */
function showChartTable(name) {
  const columns = listChartColumns(name);
  showTable(`values-${name}`, {
    caption: `${readCaption(name)}: values`,
    columns: columns.map(([heading, , exact]) => [heading, exact && exact !== "t" ? "number" : "nowrap"]),
    rows: chartValues[name].rows.map((row) => ({
      cells: columns.map(([, text]) =>
        ["label", "app", "message"].includes(text) ? isolateText(String(row[text])) : String(row[text] ?? DASH),
      ),
    })),
    nothing: "none in this period.",
  });
}

/** @param {ChartRow | undefined} row of a mark, to which Vega binds it */
function followLink(row) {
  if (row?.link) location.hash = String(row.link);
}

/**
 * Where a row is in its chart, in pixels of the chart's element.
 * @param {ChartView} view
 * @param {ChartRow} row
 */
function locateRow(view, row) {
  const [left, top] = view.origin();
  const box = {left, top, width: view.width(), height: view.height()};
  if (row.t_next) {
    const [x, y] = [view.scale("x"), view.scale("y")];
    box.left += x?.(row.t) ?? 0;
    box.width = (x?.(row.t_next) ?? 0) - (x?.(row.t) ?? 0);
    box.top += y?.(row.from) ?? 0;
    box.height = Math.max(2, (y?.(row.to) ?? 0) - (y?.(row.from) ?? 0));
    return box;
  }
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
      row.link ? createElement("a", {href: String(row.link), tabindex: "-1"}, "Open its page") : "",
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
    isTap = event.pointerType !== "mouse" && !reading.contains(/** @type {Node} */ (event.target));
    if (isTap) showNearest(event);
  });
  frame.addEventListener("click", (event) => followLink(/** @type {any} */ (event.target).__data__?.datum));
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
    if (event.key === "Enter") followLink(chartValues[name].rows[Number(slider.value)]);
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
  const caption = readCaption(name);
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
