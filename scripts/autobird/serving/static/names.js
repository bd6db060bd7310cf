/** Show species with their common and their scientific name. */

import {element} from "./dom.js";

/**
 * Return the names of a species.
 * @param {string} species as the model calls it: a scientific name, or `Scientific name_Common name`
 * @param {Record<string, string>} commonNames
 * @returns {{scientific: string, common: string}} common: "" if it is unknown
 */
export function namesOf(species, commonNames) {
  const [scientific, common = ""] = species.split("_", 2);
  return {scientific, common: commonNames[species] ?? common};
}

/**
 * Return the names in one line of text.
 * @param {string} species
 * @param {Record<string, string>} commonNames
 */
export function nameText(species, commonNames) {
  const {scientific, common} = namesOf(species, commonNames);
  return common ? `${common} (${scientific})` : scientific;
}

/**
 * Return an element with both names; they are broken into lines, never cut.
 * @param {string} species
 * @param {Record<string, string>} commonNames
 * @returns {HTMLElement}
 */
export function nameElement(species, commonNames) {
  const {scientific, common} = namesOf(species, commonNames);
  const italic = element("i", {lang: "la"}, scientific);
  return element("span", {class: "name"}, common ? element("b", {}, common) : null, common ? " " : null, italic);
}
