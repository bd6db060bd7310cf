/** The table of the detections that are shown, each with buttons to play, repeat and download it. */

import {byId, element} from "./dom.js";
import {nameElement, nameText} from "./names.js";
import {clock, score} from "./text.js";

/** @typedef {import("./types.js").Detection} Detection */

/** Rows that are shown at first: thousands make the page slow. */
const ROWS = 100;

/** The table of one recording at a time. */
export class DetectionTable {
  /**
   * @param {import("./options.js").Options} options
   * @param {{play: (d: Detection, repeat: boolean) => void, clip: (d: Detection) => void}} actions
   */
  constructor(options, actions) {
    this.options = options;
    this.actions = actions;
    this.limit = ROWS;
    this.canClip = false;
    /** @type {Detection[]} */
    this.detections = [];
    /** @type {{start: number, end: number, repeat: boolean}|null} */
    this.playing = null;
    byId("more-detections").addEventListener("click", () => {
      this.limit = Infinity;
      this.show(this.detections);
    });
  }

  /** Forget how many rows were shown for the recording before. */
  reset() {
    this.limit = ROWS;
    this.canClip = false;
  }

  /** @param {Detection[]} detections */
  show(detections) {
    this.detections = detections;
    const shown = detections.slice(0, this.limit);
    byId("detections").replaceChildren(...shown.map((d) => this.row(d)));
    byId("detection-table").hidden = !detections.length;
    byId("no-detections").hidden = detections.length > 0;
    byId("more-detections").hidden = shown.length === detections.length;
    byId("more-detections").textContent = `Show all ${detections.length} detections`;
    this.mark(this.playing);
  }

  /** @param {Detection} d */
  row(d) {
    const text = `${nameText(d.species, this.options.commonNames)}, ${clock(d.start)} to ${clock(d.end)}`;
    const button = (/** @type {string} */ label, /** @type {string} */ words, /** @type {() => void} */ act, extra = {}) =>
      element("button", {type: "button", "aria-label": `${words} ${text}`, title: words, click: act, ...extra}, label);
    const row = element("tr", {
      "data-span": `${d.start} ${d.end}`,
      click: (/** @type {any} */ event) => event.target.closest("button") ?? this.actions.play(d, false),
    },
    element("td", {class: "time"}, `${clock(d.start)} – ${clock(d.end)}`),
    element("td", {}, nameElement(d.species, this.options.commonNames)),
    element("td", {class: "number"}, score(d.probability)),
    element("td", {class: "actions"},
      button("▶", "play", () => this.actions.play(d, false)),
      button("↻", "repeat", () => this.actions.play(d, true), {"aria-pressed": "false", class: "repeat"}),
      button("WAV", "download the sound of", () => this.actions.clip(d), {disabled: !this.canClip})));
    return row;
  }

  /**
   * Show which detection is played.
   * @param {{start: number, end: number, repeat: boolean}|null} span
   */
  mark(span) {
    this.playing = span;
    const key = span ? `${span.start} ${span.end}` : "";
    for (const row of byId("detections").rows) {
      const is = row.dataset.span === key;
      row.classList.toggle("playing", is);
      row.querySelector(".repeat")?.setAttribute("aria-pressed", String(is && Boolean(span?.repeat)));
    }
  }

  /** @param {boolean} can whether clips can be made: the sound is decoded */
  allowClips(can) {
    this.canClip = can;
    for (const row of byId("detections").rows) row.querySelector("button:last-child").disabled = !can;
  }
}
