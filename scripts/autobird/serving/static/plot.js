/** Draws the spectrogram of the visible part, its axes, the overview of the whole recording and the cursor. */

import {colourTable, lowestColour} from "./colours.js";
import {cssColour, element, fitCanvas} from "./dom.js";
import {clock, roundStep} from "./text.js";

/** @typedef {import("./spectrogram.js").Picture} Picture */
/** @typedef {import("./spectrogram.js").Source} Source */
/** @typedef {import("./timeview.js").TimeView} TimeView */
/** @typedef {{canvas: HTMLCanvasElement, start: number, end: number}} Drawn a coloured picture, and its part in seconds */

const TIME_STEPS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600];
const FREQUENCY_STEPS = [200, 500, 1000, 2000, 5000, 10000, 20000];

/** Largest size of a picture, pixels: more is not visible, and takes time to compute. */
const MAX_COLUMNS = 1600, MAX_ROWS = 480;

/** The plot of one recording at a time. */
export class Plot {
  /**
   * @param {{canvas: HTMLCanvasElement, frequencies: HTMLElement, times: HTMLElement, overview: HTMLCanvasElement}} parts
   * @param {TimeView} view
   */
  constructor(parts, view) {
    this.parts = parts;
    this.view = view;
    /** @type {Source|null} */
    this.source = null;
    /** @type {{picture: Picture, drawn: Drawn}|null} */
    this.detail = null;
    /** @type {{picture: Picture, drawn: Drawn}|null} */
    this.whole = null;
    this.colours = "viridis";
    /** Highest frequency that is shown, Hz; Infinity: all. */
    this.highest = 12_000;
    /** Lowest level that is shown: 0 shows all, 1 only what is above the median. */
    this.contrast = 1;
    this.pending = false;
    view.addEventListener("change", () => this.refresh());
    new ResizeObserver(() => this.refresh()).observe(parts.canvas);
  }

  get high() {
    return Math.min(this.highest, this.source?.nyquist ?? Infinity);
  }

  /**
   * Show another source; null: nothing.
   * @param {Source|null} source
   */
  use(source) {
    this.source = source;
    this.detail = this.whole = null;
    void this.drawWhole();
    this.refresh();
  }

  /**
   * Change how the picture looks.
   * @param {{colours?: string, highest?: number, contrast?: number}} values
   */
  configure(values) {
    const hadHigh = this.high;
    Object.assign(this, values);
    if (this.high !== hadHigh) return this.use(this.source);
    for (const kept of [this.detail, this.whole]) if (kept) kept.drawn = this.coloured(kept.picture);
    this.paint();
  }

  /** Draw what is known at the next frame, then compute what is missing. */
  refresh() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.paint();
      void this.drawDetail();
    });
  }

  async drawWhole() {
    const {source, view} = this;
    if (!source) return;
    const picture = await source.draw({start: 0, end: view.duration, columns: 800, rows: 96, high: this.high});
    if (source !== this.source || !picture) return;
    this.whole = {picture, drawn: this.coloured(picture)};
    this.paint();
  }

  async drawDetail() {
    const {source, view} = this, {width, height} = fitCanvas(this.parts.canvas);
    const part = {start: view.start, end: view.end, columns: Math.min(width, MAX_COLUMNS), rows: Math.min(height, MAX_ROWS), high: this.high};
    if (!source || this.detail?.picture.start === part.start && this.detail.picture.end === part.end
      && this.detail.picture.columns === part.columns) return;
    const picture = await source.draw(part);
    if (source !== this.source || !picture) return;
    this.detail = {picture, drawn: this.coloured(picture)};
    this.paint();
    if (!this.whole) void this.drawWhole(); // a later request has taken its place
  }

  /**
   * @param {Picture} picture
   * @returns {Drawn}
   */
  coloured(picture) {
    const canvas = element("canvas", {width: picture.columns, height: picture.rows});
    const context = canvas.getContext("2d"), image = context.createImageData(picture.columns, picture.rows);
    const table = colourTable(this.colours, this.contrast * (this.source?.floor ?? 0)), pixels = new Uint32Array(image.data.buffer);
    for (let k = 0; k < pixels.length; k++) pixels[k] = table[picture.data[k]];
    context.putImageData(image, 0, 0);
    return {canvas, start: picture.start, end: picture.end};
  }

  paint() {
    const {context, width, height} = fitCanvas(this.parts.canvas), {view} = this;
    context.fillStyle = lowestColour(this.colours);
    context.fillRect(0, 0, width, height);
    for (const kept of [this.whole, this.detail]) {
      if (!kept) continue;
      const {canvas, start, end} = kept.drawn;
      context.drawImage(canvas, view.place(start) * width, 0, ((end - start) / view.span) * width, height);
    }
    this.drawTimes();
    this.drawFrequencies();
    this.drawOverview();
  }

  drawTimes() {
    const {view, parts} = this;
    const step = roundStep(view.span, Math.max(2, parts.canvas.clientWidth / 75), TIME_STEPS), labels = [];
    for (let time = Math.ceil(view.start / step - 1e-6) * step; time <= view.end + 1e-6; time += step) {
      const label = element("span", {}, clock(time, step < 0.1 ? 2 : step < 1 ? 1 : 0));
      label.style.left = `${100 * view.place(time)}%`;
      labels.push(label);
    }
    parts.times.replaceChildren(...labels);
  }

  drawFrequencies() {
    const {parts, source, high} = this, labels = [];
    if (source) {
      const step = roundStep(high, 6, FREQUENCY_STEPS);
      let last = 0;
      for (let frequency = step; frequency <= high * 1.001; frequency += step) {
        const height = source.height(frequency, high);
        if (height - last < 0.09 || height > 1.001) continue;
        last = height;
        const label = element("span", {}, `${frequency / 1000} kHz`);
        label.style.bottom = `${100 * height}%`;
        labels.push(label);
      }
    }
    parts.frequencies.replaceChildren(...labels);
  }

  drawOverview() {
    const {overview} = this.parts, {view} = this;
    overview.hidden = !view.zoomed;
    if (overview.hidden) return;
    const {context, width, height, ratio} = fitCanvas(overview);
    context.clearRect(0, 0, width, height);
    if (this.whole) context.drawImage(this.whole.drawn.canvas, 0, 0, width, height);
    const left = (view.start / view.duration) * width, right = (view.end / view.duration) * width;
    context.fillStyle = cssColour("--shade");
    context.fillRect(0, 0, left, height);
    context.fillRect(right, 0, width - right, height);
    context.strokeStyle = cssColour("--warm");
    context.lineWidth = 2 * ratio;
    context.strokeRect(left + ratio, ratio, Math.max(2, right - left - 2 * ratio), height - 2 * ratio);
  }
}

/**
 * Scroll by dragging in the overview, or by a click in it.
 * @param {HTMLElement} overview
 * @param {TimeView} view
 */
export function connectOverview(overview, view) {
  const move = (/** @type {PointerEvent} */ event) => {
    if (!(event.buttons & 1)) return;
    const box = overview.getBoundingClientRect(), time = ((event.clientX - box.left) / box.width) * view.duration;
    view.set(time - view.span / 2, time + view.span / 2);
  };
  overview.addEventListener("pointerdown", (event) => {
    overview.setPointerCapture(event.pointerId);
    move(event);
  });
  overview.addEventListener("pointermove", move);
}
