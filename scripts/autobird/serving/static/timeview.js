/** The part of a recording that is visible: zooming and scrolling, the same for the spectrogram and all rows. */

/** Shortest part that can be shown, seconds. */
const SHORTEST = 0.25;

/** Visible part of a recording. Event `change`: it has changed. */
export class TimeView extends EventTarget {
  constructor() {
    super();
    this.duration = 1;
    this.start = 0;
    this.end = 1;
  }

  get span() {
    return this.end - this.start;
  }

  get zoomed() {
    return this.span < this.duration - 1e-6;
  }

  /**
   * Show all of another recording.
   * @param {number} duration seconds
   */
  open(duration) {
    this.duration = Math.max(SHORTEST, duration);
    this.set(0, this.duration);
  }

  /**
   * Show a part; it is moved into the recording.
   * @param {number} start seconds
   * @param {number} end seconds
   */
  set(start, end) {
    const span = Math.min(this.duration, Math.max(SHORTEST, end - start));
    const first = Math.max(0, Math.min(this.duration - span, start));
    if (first === this.start && first + span === this.end) return;
    this.start = first;
    this.end = first + span;
    this.dispatchEvent(new Event("change"));
  }

  /**
   * Show a longer or shorter part; one time keeps its place.
   * @param {number} factor below 1: shorter
   * @param {number} time seconds
   */
  zoom(factor, time) {
    const span = Math.min(this.duration, Math.max(SHORTEST, this.span * factor));
    const start = time - ((time - this.start) / this.span) * span;
    this.set(start, start + span);
  }

  /**
   * Scroll.
   * @param {number} seconds
   */
  move(seconds) {
    this.set(this.start + seconds, this.end + seconds);
  }

  /**
   * Scroll so that a time is visible, near the left edge; nothing changes if it is visible already.
   * @param {number} time seconds
   */
  reveal(time) {
    if (time >= this.start && time <= this.end) return;
    this.set(time - 0.1 * this.span, time + 0.9 * this.span);
  }

  /**
   * Return the place of a time in the visible part: 0 at the left edge, 1 at the right.
   * @param {number} time seconds
   */
  place(time) {
    return (time - this.start) / this.span;
  }

  /**
   * Return the time of a place in the visible part.
   * @param {number} place 0 to 1
   */
  time(place) {
    return Math.max(0, Math.min(this.duration, this.start + place * this.span));
  }
}
