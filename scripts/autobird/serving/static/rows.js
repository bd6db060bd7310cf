/** The rows below the spectrogram: the probability of each species over time. */

import {byId, cssColour, element, fitCanvas} from "./dom.js";
import {speciesByHighest} from "./detections.js";
import {nameElement, nameText} from "./names.js";
import {clock, score} from "./text.js";

/** @typedef {import("./types.js").Answer} Answer */
/** @typedef {import("./types.js").AnswerWindow} AnswerWindow */
/** @typedef {import("./types.js").Detection} Detection */

/** Species without detections that are shown, the most probable ones. */
const SHOWN = 5;

/** @typedef {{species: string, canvas: HTMLCanvasElement, row: HTMLElement, values: Map<AnswerWindow, number>}} Row */

/** The rows of one recording at a time. */
export class Rows {
  /**
   * @param {import("./timeview.js").TimeView} view
   * @param {import("./options.js").Options} options
   * @param {(time: number) => void} onPlay seconds
   */
  constructor(view, options, onPlay) {
    this.view = view;
    this.options = options;
    this.onPlay = onPlay;
    this.showAll = false;
    /** @type {Answer|null} */
    this.answer = null;
    /** @type {Detection[]} */
    this.detections = [];
    /** @type {Row[]} */
    this.rows = [];
    this.shown = "";
    this.pending = false;
    view.addEventListener("change", () => this.refresh());
    byId("all-species").addEventListener("click", () => {
      this.showAll = !this.showAll;
      if (this.answer) this.show(this.answer, this.detections);
    });
    new ResizeObserver(() => this.refresh()).observe(byId("species"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.refresh());
  }

  /**
   * @param {Answer} answer
   * @param {Detection[]} detections those that are shown
   */
  show(answer, detections) {
    const all = speciesByHighest(answer), detected = new Set(detections.map((d) => d.species));
    const shown = all.filter((s, k) => this.showAll || k < SHOWN || detected.has(s.species) || this.options.excluded.has(s.species));
    const key = shown.map((s) => nameText(s.species, this.options.commonNames)).join("\n");
    this.detections = detections;
    if (answer !== this.answer || key !== this.shown) {
      this.answer = answer;
      this.shown = key;
      this.rows = shown.map((s) => this.newRow(answer, s));
      const unknown = answer.windows.some((w) => typeof w.unknown_score === "number") ? [this.unknownRow(answer)] : [];
      const focused = document.activeElement?.id;
      byId("species").replaceChildren(...this.rows.map((r) => r.row), ...unknown.map((r) => r.row));
      this.rows.push(...unknown);
      if (focused) document.getElementById(focused)?.focus();
    }
    const button = byId("all-species"), hidden = all.length - shown.length;
    button.hidden = !hidden && !this.showAll;
    button.textContent = this.showAll ? "Show fewer species" : `Show ${hidden} more species`;
    byId("all-quiet").hidden = all.length > 0;
    this.refresh();
  }

  /**
   * @param {Answer} answer
   * @param {{species: string, highest: number, at: number}} best
   * @returns {Row}
   */
  newRow(answer, {species, highest, at}) {
    const {options} = this, text = nameText(species, options.commonNames), id = `row-${CSS.escape(species.replaceAll(" ", "-"))}`;
    const box = element("input", {
      type: "checkbox", id, checked: !options.excluded.has(species), "aria-label": `count ${text}`,
      change: (/** @type {any} */ event) => options.include(species, event.target.checked),
    });
    const name = element("button", {
      type: "button", class: "plain", title: `play the most probable place, ${clock(at)}`,
      click: () => this.onPlay(at),
    }, nameElement(species, options.commonNames));
    const canvas = element("canvas", {"aria-hidden": "true"});
    const row = element("li", {class: "row"}, element("div", {class: "label"}, box, name), element("div", {class: "lane"}, canvas),
      element("span", {class: "value", title: "highest probability"}, score(highest)));
    const values = new Map(answer.windows.flatMap((w) =>
      w.quiet ? [] : w.species.filter((s) => s.species === species).map((s) => /** @type {const} */ ([w, s.probability]))));
    return {species, canvas, row, values};
  }

  /**
   * @param {Answer} answer
   * @returns {Row}
   */
  unknownRow(answer) {
    const canvas = element("canvas", {"aria-hidden": "true"});
    const label = element("span", {class: "name", title: "the share of known sounds that resemble the model's species more"},
      "none of mine");
    const row = element("li", {class: "row unknown"}, element("div", {class: "label"}, label), element("div", {class: "lane"}, canvas),
      element("span", {class: "value", title: "lowest score of a window: that of the recording"}, score(answer.unknown_score)));
    const values = new Map(answer.windows.filter((w) => !w.quiet).map((w) => /** @type {const} */ ([w, w.unknown_score ?? 0])));
    return {species: "", canvas, row, values};
  }

  /** Draw all rows at the next frame. */
  refresh() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      for (const row of this.rows) this.draw(row);
    });
  }

  /** @param {Row} row */
  draw({species, canvas, row, values}) {
    const {answer, view, options} = this;
    if (!answer) return;
    const {context, width, height, ratio} = fitCanvas(canvas);
    const excluded = options.excluded.has(species), place = (/** @type {number} */ time) => view.place(time) * width;
    row.classList.toggle("excluded", excluded);
    context.clearRect(0, 0, width, height);
    const limit = species ? options.threshold(answer, species) : Infinity;
    const found = this.detections.filter((d) => d.species === species);
    const plain = cssColour(species ? "--bar" : "--neutral"), strong = cssColour("--accent");
    answer.windows.forEach((window, k) => {
      const end = Math.min(window.end, answer.windows[k + 1]?.start ?? window.end), value = values.get(window);
      if (value === undefined || end < view.start || window.start > view.end) return;
      const left = place(window.start), top = Math.max(ratio, value * (height - 3 * ratio));
      const counts = found.some((d) => d.start <= window.start && window.end <= d.end);
      context.fillStyle = counts ? strong : plain;
      context.fillRect(left, height - top, Math.max(ratio, place(end) - left - (place(end) - left > 4 * ratio ? ratio : 0)), top);
    });
    if (limit <= 1) {
      context.strokeStyle = cssColour("--soft");
      context.setLineDash([4 * ratio, 4 * ratio]);
      context.lineWidth = ratio;
      const y = Math.round(height - limit * (height - 3 * ratio)) + 0.5;
      context.strokeRect(-ratio, y, width + 2 * ratio, 0);
      context.setLineDash([]);
    }
    context.fillStyle = cssColour("--warm");
    for (const d of found) context.fillRect(place(d.start), 0, Math.max(2 * ratio, place(d.end) - place(d.start)), 3 * ratio);
  }

  /**
   * Describe what is at a time in the row under the pointer.
   * @param {EventTarget|null} target
   * @param {number} time seconds
   * @returns {string} "" outside the rows
   */
  describe(target, time) {
    const row = this.rows.find((r) => target instanceof Node && r.row.contains(target)), {answer, options} = this;
    if (!row || !answer) return "";
    const window = [...row.values.keys()].filter((w) => w.start <= time && time < w.end).pop();
    const value = window && row.values.get(window);
    const what = row.species ? nameText(row.species, options.commonNames) : "none of mine";
    if (value === undefined) return `${clock(time)}: ${what}: quiet, or not among the most probable species`;
    const limit = row.species ? `, detected from ${score(options.threshold(answer, row.species))}` : "";
    return `${clock(time)}: ${what} ${score(value)}${limit}`;
  }
}
