/**
 * Which species are detected when, from the probabilities of the windows: the rule of the server (`Classifier.detections`), so that another
 * threshold acts at once.
 */

/** @typedef {import("./types.js").Answer} Answer */
/** @typedef {import("./types.js").AnswerWindow} AnswerWindow */
/** @typedef {import("./types.js").Detection} Detection */

/** Probabilities are sent with 4 decimals: within this distance from the threshold, they do not say on which side the exact value is. */
const ROUNDING = 0.5e-4 + 1e-9;

/**
 * Return the detections of a recording, sorted by start; consecutive windows with the same species are one detection, with the highest
 * probability and the lowest `unknown_score` of these windows.
 *
 * A species is detected in a window if the window is not quiet and its probability reaches the threshold. Where the rounded probability does
 * not decide this, `atDefault` does: the detections of the server.
 *
 * @param {readonly AnswerWindow[]} windows
 * @param {(species: string) => number} threshold smallest probability of a detection
 * @param {readonly Detection[]} [atDefault] detections of the server, if `threshold` are the thresholds that the server used
 * @returns {Detection[]}
 */
export function detect(windows, threshold, atDefault = []) {
  /** @type {Map<string, Detection & {last: number}>} */
  const open = new Map();
  /** @type {Detection[]} */
  const found = [];
  windows.forEach((window, number) => {
    for (const {species, probability} of window.quiet ? [] : window.species) {
      const limit = threshold(species);
      const reached = atDefault.length && Math.abs(probability - limit) <= ROUNDING
        ? atDefault.some((d) => d.species === species && d.start <= window.start && window.end <= d.end)
        : probability >= limit;
      if (!reached) continue;
      const run = open.get(species);
      if (run && run.last === number - 1) {
        run.end = window.end;
        run.probability = Math.max(run.probability, probability);
        run.unknown_score = lowest(run.unknown_score, window.unknown_score);
        run.last = number;
      } else {
        const {start, end, unknown_score = null} = window, started = {start, end, species, probability, unknown_score, last: number};
        open.set(species, started);
        found.push(started);
      }
    }
  });
  const compare = (/** @type {string} */ a, /** @type {string} */ b) => (a < b ? -1 : a > b ? 1 : 0);
  found.sort((a, b) => a.start - b.start || b.probability - a.probability || compare(a.species, b.species));
  return found.map(({start, end, species, probability, unknown_score}) => ({start, end, species, probability, unknown_score}));
}

/**
 * Return the lower of two scores; null if one is unknown.
 * @param {number|null|undefined} a
 * @param {number|null|undefined} b
 */
function lowest(a, b) {
  return typeof a === "number" && typeof b === "number" ? Math.min(a, b) : null;
}

/**
 * Return the highest probability of each species in the windows that are not quiet, highest first.
 * @param {Answer} answer
 * @returns {{species: string, highest: number, at: number}[]} at: start of the window with the highest probability, seconds
 */
export function speciesByHighest(answer) {
  /** @type {Map<string, {species: string, highest: number, at: number}>} */
  const best = new Map();
  for (const window of answer.windows) {
    for (const {species, probability} of window.quiet ? [] : window.species) {
      const known = best.get(species);
      if (!known || probability > known.highest) best.set(species, {species, highest: probability, at: window.start});
    }
  }
  return [...best.values()].sort((a, b) => b.highest - a.highest);
}
