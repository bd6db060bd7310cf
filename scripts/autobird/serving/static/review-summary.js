/** The panel with what the decisions say: precision by score and species, when to stop, thresholds. */

import {announce, byId, element} from "./dom.js";
import {nameElement} from "./names.js";
import {precisionFigure} from "./review-figure.js";
import {counted, score} from "./text.js";

/** Time after a decision before the panel is computed again, milliseconds. */
const PAUSE = 1500;

/** @typedef {import("./review-figure.js").Estimate} Estimate */

/** The panel. */
export class SummaryPanel {
  /** @param {import("./review-api.js").ReviewApi} api */
  constructor(api) {
    this.api = api;
    /** @type {Record<string, string>} */
    this.commonNames = {};
    this.number = 0;
    byId("show-results").addEventListener("click", () => this.toggle());
    byId("within").addEventListener("change", () => this.refresh());
    byId("precision-form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      void this.refresh();
    });
    byId("apply").addEventListener("click", () => this.confirm());
    byId("confirm-yes").addEventListener("click", () => this.apply());
    byId("confirm-no").addEventListener("click", () => byId("confirm").close());
  }

  get isOpen() {
    return !byId("results-body").hidden;
  }

  toggle() {
    byId("results-body").hidden = this.isOpen;
    byId("show-results").setAttribute("aria-expanded", String(this.isOpen));
    byId("show-results").textContent = this.isOpen ? "Hide" : "Show";
    if (this.isOpen) void this.refresh();
  }

  /** A decision was made: compute the panel again soon, if it is open. */
  later() {
    const number = ++this.number;
    if (this.isOpen) setTimeout(() => number === this.number && this.refresh(), PAUSE);
  }

  get wanted() {
    return {precision: byId("precision").value || "0.9", by_lower_bound: byId("lower-bound").checked ? "1" : "0", within: byId("within").value};
  }

  async refresh() {
    this.number += 1;
    try {
      this.draw(await this.api.summary(this.wanted));
    } catch (problem) {
      byId("counts").textContent = /** @type {Error} */ (problem).message;
    }
  }

  /** @param {any} s answer of `/v1/review/summary` */
  draw(s) {
    const parts = [`${counted(s.reviewed, "item")} with a clear answer, drawn at random from ${s.candidates} candidates`
      + (s.reviewed ? ` (${counted(s.sessions, "recording session")}, ${counted(s.reviewers, "reviewer")}).` : ".")];
    if (s.unknown) parts.push(`${s.unknown} without one${s.disagree ? `, of which reviewers disagree about ${s.disagree}` : ""}.`);
    if (s.not_random) parts.push(`${s.not_random} answers about other queues or filters do not count here; a model can learn from them.`);
    if (!s.reviewed) parts.push("There is nothing to estimate yet: review some items of the queue “stratified” or “random”.");
    byId("counts").textContent = parts.join(" ");
    byId("estimates").hidden = !s.reviewed;
    byId("figure").replaceChildren(precisionFigure(s.strata, byId("figure").clientWidth));
    const header = (/** @type {string[]} */ ...names) =>
      element("thead", {}, element("tr", {}, ...names.map((name, k) => element("th", {scope: "col", class: k ? "number" : ""}, name))));
    const row = (/** @type {Node|string} */ first, /** @type {string[]} */ ...values) =>
      element("tr", {}, element("th", {scope: "row"}, first), ...values.map((value) => element("td", {class: "number"}, value)));
    byId("strata").replaceChildren(header("score", "candidates", "reviewed", "right", "share right"), element("tbody", {},
      ...s.strata.map((/** @type {any} */ c) =>
        row(`${c.low} to ${c.high}`, String(c.candidates), String(c.reviewed), String(c.present), c.reviewed ? estimate(c.share) : "not known")).reverse()));
    byId("remaining").replaceChildren(...s.remaining.map((/** @type {any} */ r) => element("li", {}, sentence(r.text))));
    const of = (/** @type {any} */ entry) => [score(entry.threshold), String(entry.detections), String(entry.reviewed), estimate(entry.precision), estimate(entry.recall)];
    byId("species-table").replaceChildren(header("species", "threshold", "windows", "reviewed", "precision", `recall from ${s.floor}`),
      element("tbody", {}, ...s.species.map((/** @type {any} */ entry) => row(nameElement(entry.species, this.commonNames), ...of(entry)))));
    byId("chosen").replaceChildren(header("species", "threshold", "windows", "reviewed", "precision", "recall", "note"),
      element("tbody", {}, ...s.chosen.map((/** @type {any} */ entry) =>
        row(nameElement(entry.species, this.commonNames), ...of(entry), note(entry, s.wanted.precision)))));
  }

  confirm() {
    const {precision, by_lower_bound: lower} = this.wanted;
    const how = lower === "1" ? "whose lower bound of the precision is at least" : "with a precision of at least";
    byId("confirm-text").textContent = `The thresholds ${how} ${precision} are written to a table beside the model. From then on, autobird `
      + "predict uses them for the reviewed species, and servers that run do within seconds. The file of the model is not changed.";
    byId("confirm").showModal();
  }

  async apply() {
    byId("confirm").close();
    const {precision, by_lower_bound: lower} = this.wanted;
    try {
      const {written} = await this.api.apply(Number(precision), lower === "1");
      const left = written.filter((/** @type {any} */ w) => !w.reached).length;
      byId("applied").textContent = `The thresholds of ${written.length} species are in use`
        + (left ? `; ${left} of them ${left === 1 ? "does" : "do"} not reach the precision in the sample.` : ".");
      await this.refresh();
    } catch (problem) {
      byId("applied").textContent = /** @type {Error} */ (problem).message;
      announce(byId("applied").textContent);
    }
  }
}

/**
 * Return what has to be known about the threshold of a species.
 * @param {{reached: boolean, precision: Estimate}} entry
 * @param {number} wanted precision
 */
function note({reached, precision}, wanted) {
  if (!reached) return "not reached: highest precision";
  return precision.value !== null && precision.value < wanted ? "lower for this species: averaged with all species" : "";
}

/** @param {Estimate} e */
function estimate(e) {
  return e.value === null ? "not known" : `${score(e.value)} [${score(e.low)}, ${score(e.high)}]`;
}

/** @param {string} text */
function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
