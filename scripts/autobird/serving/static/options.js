/** What the user has chosen to see: thresholds, species and names; the same for all files of the session. */

import {detect} from "./detections.js";

/** @typedef {import("./types.js").Answer} Answer */
/** @typedef {import("./types.js").Detection} Detection */

/** Threshold of a species that neither the answer nor the server names. */
const UNKNOWN_THRESHOLD = 0.5;

/** Choices of the user. Event `change`: one of them has changed. */
export class Options extends EventTarget {
  constructor() {
    super();
    /** @type {"factor"|"absolute"} how the threshold is chosen: each species' own times `factor`, or `absolute` for all */
    this.mode = "factor";
    this.factor = 1;
    this.absolute = 0.5;
    /** @type {Set<string>} species that are left out */
    this.excluded = new Set();
    /** @type {Record<string, number|null>} thresholds of the model, null: never reached; an answer may have its own */
    this.thresholds = {};
    /** @type {Record<string, string>} */
    this.commonNames = {};
    /** Lower and upper limit of the model's mel bands, Hz: Raven's tables name them. */
    this.band = {low: 0, high: 8000};
  }

  /** Whether the thresholds are those of the server and no species is left out. */
  get isDefault() {
    return this.hasOwnThresholds && this.excluded.size === 0;
  }

  get hasOwnThresholds() {
    return this.mode === "factor" && this.factor === 1;
  }

  /** @param {Partial<Options>} values */
  set(values) {
    Object.assign(this, values);
    this.dispatchEvent(new Event("change"));
  }

  /**
   * @param {string} species
   * @param {boolean} included
   */
  include(species, included) {
    const excluded = new Set(this.excluded);
    if (included) excluded.delete(species);
    else excluded.add(species);
    this.set({excluded});
  }

  /** Show all species with their own thresholds again. */
  reset() {
    this.set({mode: "factor", factor: 1, excluded: new Set()});
  }

  /**
   * Return the smallest probability at which a species counts as detected.
   * @param {Answer} answer
   * @param {string} species
   */
  threshold(answer, species) {
    if (this.mode === "absolute") return this.absolute;
    const own = answer.thresholds && species in answer.thresholds ? answer.thresholds[species] : this.thresholds[species];
    return own === null ? Infinity : this.factor * (own ?? UNKNOWN_THRESHOLD);
  }

  /**
   * Return the detections of a recording that are shown.
   * @param {Answer} answer
   * @returns {Detection[]}
   */
  detections(answer) {
    const own = this.hasOwnThresholds ? answer.detections : [];
    return detect(answer.windows, (species) => this.threshold(answer, species), own)
      .filter((d) => !this.excluded.has(d.species));
  }
}
