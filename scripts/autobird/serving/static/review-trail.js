/** The items of a queue in the order in which they are shown: those of this tab, then the next ones that the server names. */

/** @typedef {import("./review-api.js").Item} Item */
/** @typedef {import("./review-api.js").Decision} Decision */
/** @typedef {import("./review-api.js").Progress} Progress */
/** @typedef {import("./review-api.js").ReviewApi} ReviewApi */

/** Number of items that are asked for at once, and below which more are. */
const ASKED = 8, LOW = 4;

/** The items. Event `progress`: `progress` has changed. */
export class Trail extends EventTarget {
  /** @param {ReviewApi} api */
  constructor(api) {
    super();
    this.api = api;
    /** @type {Item[]} */
    this.shown = [];
    /** @type {Item[]} */
    this.waiting = [];
    this.at = -1;
    /** @type {Progress|null} */
    this.progress = null;
  }

  /** @returns {Item|null} the present item */
  get item() {
    return this.shown[this.at] ?? null;
  }

  /** @returns {Item[]} the items that come next */
  get coming() {
    return [...this.shown.slice(this.at + 1), ...this.waiting].filter((item) => !item.decision);
  }

  /** Begin a queue at its first item without a decision. */
  async open() {
    this.shown = [];
    this.waiting = [];
    this.at = -1;
    await this.refill();
    await this.forward();
  }

  async refill() {
    const {items, progress} = await this.api.next(ASKED + this.shown.filter((item) => !item.decision).length);
    const known = new Set(this.shown.map((item) => item.id));
    this.waiting = items.filter((item) => !known.has(item.id));
    this.use(progress);
  }

  /** Go to the next item; at the end to the first one of this tab that was left without a decision, or to none. */
  async forward() {
    if (this.at < this.shown.length - 1) {
      this.at += 1;
      return;
    }
    if (!this.waiting.length) await this.refill();
    const item = this.waiting.shift();
    if (item) this.shown.push(item);
    const left = this.shown.findIndex((other) => !other.decision);
    this.at = item ? this.shown.length - 1 : left >= 0 ? left : this.shown.length;
    // In the background: the next items must be known before they are shown, so that their sound can be loaded.
    if (this.waiting.length < LOW && item) void this.refill().catch(() => undefined);
  }

  /** Go to the previous item of this tab. */
  back() {
    this.at = Math.max(0, Math.min(this.shown.length, this.at) - 1);
  }

  /**
   * Store a decision about the present item, and go to the next one without a decision.
   * @param {Decision} decision
   * @param {string} other
   */
  async decide(decision, other) {
    const {item} = this;
    if (!item) return;
    const {progress} = await this.api.decide(item, decision, other);
    item.decision = decision;
    item.other_species = other;
    this.use(progress);
    do await this.forward(); while (this.item?.decision);
  }

  /**
   * Take back the latest decision, and go to its item.
   * @returns {Promise<{species: string, decision: Decision}|null>} what was taken back; null: there was nothing
   */
  async undo() {
    const {undone, item, progress} = await this.api.undo();
    this.use(progress);
    if (!undone || !item) return undone;
    const known = this.shown.findIndex((other) => other.id === item.id);
    if (known >= 0) this.shown[known] = item;
    else this.shown.splice(Math.max(0, this.at), 0, item);
    this.waiting = this.waiting.filter((other) => other.id !== item.id);
    this.at = known >= 0 ? known : Math.max(0, this.at);
    return undone;
  }

  /** @param {Progress} progress */
  use(progress) {
    this.progress = progress;
    this.dispatchEvent(new Event("progress"));
  }
}
