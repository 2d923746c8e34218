// The charts on the page: drawn when they are first visible, then only given new rows.

/** @type {Record<string, {view: ChartView, width: number}>} Charts on the page, and the widths they were drawn for. */
const drawn = {};

/** @param {string} name */
function removeChart(name) {
  drawn[name]?.view.finalize();
  delete drawn[name];
  updateChartAccess(name, null);
}

/**
 * @param {string} name
 * @param {object} specification
 * @param {ChartRow[]} rows
 * @param {ChartPeriod} period
 */
async function drawChart(name, specification, rows, {unit, buckets}) {
  const place = getElement(`chart-${name}`);
  const ticks = listTicks(unit, buckets, place.clientWidth);
  const description = readCaption(name);
  if (drawn[name]?.width === place.clientWidth && name !== "top") {
    const {view} = drawn[name];
    await view.description(description).signal("unit", unit).signal("ticks", ticks).data(name, rows).runAsync();
    updateChartAccess(name, view);
    return;
  }
  const height = name === "top" ? 40 + 33 * rows.length : undefined; // a bar is as high as a row of the table beside it
  const params = [
    {name: "unit", value: unit},
    {name: "ticks", value: ticks},
  ];
  // `ast`: Vega interprets expressions, so the page need not allow eval.
  // `logLevel`: log errors only; a chart without rows is not worth a warning.
  drawn[name]?.view.finalize();
  const {view} = await window.vegaEmbed(
    place,
    {...specification, ...(height && {height}), params, description, datasets: {[name]: rows}},
    {
      renderer: "svg",
      actions: false,
      ast: true,
      defaultStyle: false,
      tooltip: {disableDefaultStyle: true},
      logLevel: 1,
    },
  );
  drawn[name] = {view, width: place.clientWidth};
  updateChartAccess(name, view);
}

/** @type {Record<string, object>} */
const specifications = JSON.parse(getElement("charts").textContent ?? "");
Object.values(specifications).forEach(describeMarks);

/**
 * Draw charts in the order of their rows. A sentence takes the place of a blank chart.
 * @param {Record<string, ChartRow[]>} rows
 * @param {ChartPeriod} period
 */
async function drawCharts(rows, period) {
  for (const [name, chartRows] of Object.entries(rows)) {
    const place = getElement(`chart-${name}`);
    const figure = place.closest("figure");
    if (figure) figure.hidden = !isChartShown(name, period);
    const blank = explainBlank(name, chartRows);
    if (place.offsetParent === null || blank) removeChart(name); // drawn again when visible: it may have another width then
    if (blank) place.replaceChildren(createElement("p", {class: "nothing"}, blank));
    else if (place.offsetParent !== null) await drawChart(name, specifications[name], chartRows, period);
  }
}
