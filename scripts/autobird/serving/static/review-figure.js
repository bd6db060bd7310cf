/** The figure of the precision by score, drawn as SVG. */

const NAMESPACE = "http://www.w3.org/2000/svg";

/** Size of the drawing and its margins, pixels. */
const WIDEST = 720, NARROWEST = 280, HEIGHT = 260, LEFT = 46, RIGHT = 10, TOP = 10, BOTTOM = 46;

/** @typedef {{value: number|null, low: number|null, high: number|null}} Estimate */
/** @typedef {{low: number, high: number, candidates: number, reviewed: number, present: number, share: Estimate}} Stratum */

/**
 * @param {string} tag
 * @param {Record<string, string|number>} attributes
 * @param {string} [text]
 */
function shape(tag, attributes, text) {
  const made = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  if (text !== undefined) made.textContent = text;
  return made;
}

/**
 * Return the figure: a bar for each interval of the score, with the interval of confidence.
 * @param {Stratum[]} strata
 * @param {number} place width of its place, pixels
 */
export function precisionFigure(strata, place) {
  const width = Math.max(NARROWEST, Math.min(WIDEST, place));
  const x = (/** @type {number} */ p) => LEFT + p * (width - LEFT - RIGHT), y = (/** @type {number} */ p) => HEIGHT - BOTTOM - p * (HEIGHT - TOP - BOTTOM);
  // The same values are in the table below the figure, which screen readers can read cell by cell.
  const svg = shape("svg", {viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": "precision by score, as in the table below"});
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(shape("line", {class: "axis", x1: LEFT, x2: width - RIGHT, y1: y(share), y2: y(share)}));
    svg.append(shape("text", {x: LEFT - 6, y: y(share) + 4, "text-anchor": "end"}, share.toFixed(2)));
  }
  for (const {low, high, reviewed, share} of strata) {
    if (share.value === null || !reviewed) continue;
    const centre = (x(low) + x(high)) / 2;
    svg.append(shape("rect", {class: "bar", x: x(low) + 1, width: Math.max(1, x(high) - x(low) - 2), y: y(share.value), height: y(0) - y(share.value)}));
    svg.append(shape("line", {class: "interval", x1: centre, x2: centre, y1: y(share.low ?? share.value), y2: y(share.high ?? share.value)}));
    svg.append(shape("circle", {class: "point", cx: centre, cy: y(share.value), r: 4}));
  }
  const borders = [...new Set(strata.flatMap(({low, high}) => [low, high]))];
  let last = -Infinity;
  for (const border of borders) {
    if (x(border) - last < 26) continue;
    last = x(border);
    svg.append(shape("text", {x: x(border), y: HEIGHT - BOTTOM + 18, "text-anchor": "middle"}, String(border)));
  }
  svg.append(shape("text", {x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle"}, "score of the model (probability)"));
  return svg;
}
