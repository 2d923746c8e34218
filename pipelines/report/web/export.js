// Files and copies of the tables and charts on the page: CSV, tab-separated text, SVG and PNG.

/** A table as values; the first line holds the headings. */
/** @typedef {Cell | string} Value */
/** @typedef {Value[][]} Grid */

/** Text that a spreadsheet evaluates, as in `livehouse sql --format csv`. Excel may begin a cell behind a semicolon. */
const FORMULA = /(^|[;\t\r\n])([\s\u200b]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n])/g;
/** Marks the start of UTF-8 text: without it, Excel reads names with accents in another encoding. */
const UTF8_MARK = "\ufeff";
const IMAGE_MARGIN = 12;
const TITLE_HEIGHT = 44;
/** Pixels of a PNG per pixel on the page. */
const PNG_SCALE = 2;

/** @param {Value} value */
function toSafeText(value) {
  if (value === null) return "";
  return typeof value === "string" ? value.replace(FORMULA, "$1'$2") : String(value);
}

/** @param {Grid} grid */
function toCsv(grid) {
  /** @type {(value: Value) => string} */
  const quote = (value) => {
    const text = toSafeText(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return grid.map((line) => `${line.map(quote).join(",")}\r\n`).join("");
}

/** @param {Grid} grid */
function toTabSeparated(grid) {
  return grid.map((line) => line.map((value) => toSafeText(value).replace(/[\t\r\n]+/g, " ")).join("\t")).join("\n");
}

/**
 * The text of a cell without its signs, its buttons and, for a number, the note below it.
 * @param {HTMLTableCellElement} cell
 * @param {boolean} isNumber
 */
function readCellText(cell, isNumber) {
  const copy = /** @type {HTMLElement} */ (cell.cloneNode(true));
  for (const element of copy.querySelectorAll("[aria-hidden], details")) element.remove();
  for (const note of copy.querySelectorAll("small")) {
    if (isNumber) note.remove();
    else note.prepend(" · ");
  }
  return (copy.textContent ?? "").trim();
}

/**
 * A number of a table: "1,234.5", "12.0 %" or "$1,234.50". Other text, such as "unknown", stays text.
 * @param {string} text
 * @returns {Value}
 */
function parseNumber(text) {
  if (text === DASH || text === "") return null;
  const found = /^(-?)\$?([\d,]*\.?\d+)(?: %)?$/.exec(text);
  return found ? Number(found[1] + found[2].replaceAll(",", "")) : text;
}

/**
 * The values of a table on the page; the last column names figures of which not every day is known, if there are any.
 * @param {HTMLTableElement} table
 * @returns {Grid}
 */
function readTable(table) {
  const [head] = table.rows;
  const grid = [...table.rows].map((row) =>
    [...row.cells].map((cell) => {
      const isNumber = cell.classList.contains("number") && cell.tagName === "TD";
      const text = readCellText(cell, isNumber);
      return isNumber ? parseNumber(text) : text;
    }),
  );
  const notes = [...table.rows].map((row) =>
    [...row.cells].flatMap((cell, n) => {
      const coverage = cell.querySelector(".coverage")?.textContent;
      return coverage ? [`${readCellText(head.cells[n], false)}: ${coverage}`] : [];
    }),
  );
  if (!notes.some((line) => line.length)) return grid;
  return grid.map((line, n) => [...line, n ? notes[n].join("; ") : "Partly known"]);
}

/**
 * @param {string} name
 * @param {string} extension
 */
function formatFileName(name, extension) {
  return `livestream-${name}-${toIsoDay(chosen.from)}-${toIsoDay(chosen.to)}.${extension}`;
}

/**
 * @param {string} name
 * @param {Blob} content
 */
function saveFile(name, content) {
  const address = URL.createObjectURL(content);
  const link = createElement("a", {href: address, download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

/**
 * @param {string} name
 * @param {Grid} grid
 */
function saveCsv(name, grid) {
  saveFile(formatFileName(name, "csv"), new Blob([UTF8_MARK + toCsv(grid)], {type: "text/csv"}));
}

/** @param {string} text */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // a local file may have no access to the clipboard: copy a selection instead
    const area = /** @type {HTMLTextAreaElement} */ (createElement("textarea", {class: "unseen", readonly: ""}));
    area.value = text;
    document.body.append(area);
    area.select();
    const isCopied = document.execCommand("copy");
    area.remove();
    if (!isCopied) throw new Error("the browser refused access to the clipboard");
  }
}

/**
 * The picture of a chart with its caption, in the colours of the light theme whichever is chosen.
 * @param {HTMLElement} figure
 */
function createPicture(figure) {
  const chart = /** @type {SVGElement} */ (figure.querySelector(".chart svg"));
  const [width, height] = ["width", "height"].map((side) => Number(chart.getAttribute(side)));
  const [title, ...notes] = [...(figure.querySelector("figcaption")?.childNodes ?? [])].map((node) => node.textContent);
  const scope = (getElement("scope").textContent ?? "").split(" · compared")[0];
  const namespace = "http://www.w3.org/2000/svg";
  const outside = [width + 2 * IMAGE_MARGIN, height + TITLE_HEIGHT + IMAGE_MARGIN];
  const picture = document.createElementNS(namespace, "svg");
  picture.setAttribute("xmlns", namespace);
  picture.setAttribute("font-family", "system-ui, sans-serif");
  picture.setAttribute("viewBox", `0 0 ${outside.join(" ")}`);
  /** @type {(tag: string, attributes: Record<string, string | number>, text?: string) => void} */
  const add = (tag, attributes, text = "") => {
    const element = document.createElementNS(namespace, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
    element.textContent = text;
    picture.append(element);
  };
  for (const [n, side] of ["width", "height"].entries()) picture.setAttribute(side, String(outside[n]));
  add("rect", {width: outside[0], height: outside[1], fill: "var(--bg)"});
  add("text", {x: IMAGE_MARGIN, y: 19, "font-size": 13, "font-weight": 600, fill: "var(--ink)"}, title ?? "");
  add("text", {x: IMAGE_MARGIN, y: 35, "font-size": 11, fill: "var(--soft)"}, [scope, ...notes].join(" · "));
  const copy = /** @type {SVGElement} */ (chart.cloneNode(true));
  copy.setAttribute("x", String(IMAGE_MARGIN));
  copy.setAttribute("y", String(TITLE_HEIGHT));
  picture.append(copy);
  const probe = createElement("span", {style: "color-scheme: light"});
  document.body.append(probe);
  const code = new XMLSerializer().serializeToString(picture).replace(/var\(--[a-z]+\)/g, (variable) => {
    probe.style.color = variable;
    return getComputedStyle(probe).color;
  });
  probe.remove();
  return {code, width: outside[0], height: outside[1]};
}

/**
 * @param {string} name
 * @param {HTMLElement} figure
 */
function saveSvg(name, figure) {
  saveFile(formatFileName(name, "svg"), new Blob([createPicture(figure).code], {type: "image/svg+xml"}));
}

/**
 * @param {string} name
 * @param {HTMLElement} figure
 */
async function savePng(name, figure) {
  const {code, width, height} = createPicture(figure);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(code)}`;
  await image.decode();
  const canvas = /** @type {HTMLCanvasElement} */ (createElement("canvas"));
  canvas.width = width * PNG_SCALE;
  canvas.height = height * PNG_SCALE;
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  const content = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!content) throw new Error("the browser could not draw the picture");
  saveFile(formatFileName(name, "png"), content);
}

/**
 * A button of a table or chart; after an action it says for a moment how that ended.
 * @param {string} label
 * @param {string} title
 * @param {() => void | Promise<void>} act
 * @param {string} [done]
 */
function createTool(label, title, act, done) {
  const button = createElement("button", {type: "button", title}, label);
  button.addEventListener("click", async () => {
    let outcome = done;
    try {
      await act();
    } catch {
      outcome = "failed";
    }
    if (!outcome) return;
    button.replaceChildren(createElement("span", {role: "status"}, outcome));
    setTimeout(() => button.replaceChildren(label), 2000);
  });
  return button;
}

/**
 * Buttons that take values away.
 * @param {string} name
 * @param {() => Grid} read
 */
function createValueTools(name, read) {
  return [
    createTool("CSV", "Save the values as CSV", () => saveCsv(name, read()), "saved"),
    createTool("Copy", "Copy the values for a spreadsheet", () => copyText(toTabSeparated(read())), "copied"),
  ];
}

/**
 * Add the buttons of a table.
 * @param {HTMLElement} place
 * @param {HTMLTableElement} table
 */
function addTableTools(place, table) {
  const name = place.id.replace("table-", "");
  const label = `Export: ${place.getAttribute("aria-label")}`;
  place.append(
    createElement(
      "div",
      {class: "tools", role: "group", "aria-label": label},
      ...createValueTools(name, () => readTable(table)),
    ),
  );
}
