// On paper, charts are drawn as wide as they are printed: scaled down, their labels would be too small to read.

/** Pixels between the margins of print.css, of a chart alone and of one beside another. */
const PAPER_WIDTHS = {whole: 690, half: 336};
/** Pixels; with higher charts, the report would need more than four pages. */
const PAPER_HEIGHT = 172;

/** @type {[ChartView, number][]} charts that are drawn for paper now, and their heights on the screen */
let printed = [];

window.addEventListener("beforeprint", () => {
  printed = Object.entries(drawn).map(([name, {view}]) => {
    const place = getElement(`chart-${name}`);
    const height = Number(place.querySelector("svg")?.getAttribute("height"));
    view
      .width(place.closest(".pair") ? PAPER_WIDTHS.half : PAPER_WIDTHS.whole)
      .height(Math.min(height, PAPER_HEIGHT))
      .run();
    return [view, height];
  });
});

window.addEventListener("afterprint", () => {
  for (const [view, height] of printed) view.height(height).run();
  window.dispatchEvent(new Event("resize")); // each chart takes its width from the page again
});
