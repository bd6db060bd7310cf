/** Sentences about the result of a recording. */

import {nameText} from "./names.js";
import {counted, score} from "./text.js";

/** @typedef {import("./types.js").Answer} Answer */
/** @typedef {import("./types.js").Detection} Detection */
/** @typedef {import("./types.js").Entry} Entry */

/**
 * Return the most probable species of a recording in words.
 * @param {Answer} answer
 * @param {Record<string, string>} commonNames
 */
export function bestSpecies(answer, commonNames) {
  const first = answer.species[0];
  return first ? `${nameText(first.species, commonNames)} ${score(first.probability)}` : "all of it is quiet";
}

/**
 * Return the number of detections and of their species in words.
 * @param {readonly Detection[]} detections
 */
export function summary(detections) {
  if (!detections.length) return "no detections";
  return `${counted(detections.length, "detection")} of ${new Set(detections.map((d) => d.species)).size} species`;
}

/**
 * Return what the server noticed about a recording that it classified.
 * @param {Entry} entry
 * @returns {string[]}
 */
export function warningsOf({answer}) {
  if (!answer) return [];
  const warnings = [...(answer.warnings ?? [])];
  if (answer.note && !warnings.some((w) => w.includes(answer.note))) warnings.unshift(answer.note);
  if (answer.audio?.upper_band_missing && !warnings.some((w) => /band/i.test(w))) warnings.push("the upper band is missing");
  return warnings;
}
