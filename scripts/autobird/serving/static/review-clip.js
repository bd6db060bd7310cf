/** The clip of the present item: its spectrogram with the marked window, and its sound. */

import {connectPicture} from "./controls.js";
import {decode} from "./decode.js";
import {byId} from "./dom.js";
import {connectKeys, connectPointer} from "./gestures.js";
import {Player} from "./player.js";
import {connectOverview, Plot} from "./plot.js";
import {BrowserSpectrogram} from "./spectrogram.js";
import {clock} from "./text.js";
import {TimeView} from "./timeview.js";

/** @typedef {import("./review-api.js").Item} Item */
/** @typedef {{blob: Blob, sound: import("./decode.js").Sound|null}} Loaded */

/** Number of clips that are kept. */
const KEPT = 12;

/** The clip of one item at a time. */
export class ClipView {
  /** @param {import("./review-api.js").ReviewApi} api */
  constructor(api) {
    this.api = api;
    this.player = new Player();
    this.view = new TimeView();
    this.computed = new BrowserSpectrogram();
    this.plot = new Plot(
      {canvas: byId("spectrogram"), frequencies: byId("frequencies"), times: byId("times"), overview: byId("overview")}, this.view);
    /** Seconds of sound before and after the window. */
    this.context = 2;
    this.repeat = false;
    this.autoplay = false;
    /** @type {Item|null} */
    this.item = null;
    /** The marked window, seconds of the clip. */
    this.window = {start: 0, end: 0};
    /** @type {Map<string, Promise<Loaded>>} */
    this.clips = new Map();
    this.connect();
  }

  connect() {
    const {player, view} = this, plot = byId("plot");
    connectPicture(this.plot, view, player);
    connectOverview(byId("overview"), view);
    connectPointer(plot, view, (time) => player.play(time));
    connectKeys(plot, view, player);
    byId("play").addEventListener("click", () => this.toggle());
    byId("repeat").addEventListener("click", () => this.setRepeat(!this.repeat));
    player.addEventListener("state", () => {
      byId("play").textContent = player.playing ? "❚❚ Pause" : "▶ Play";
    });
    player.addEventListener("time", () => this.drawCursor());
    player.addEventListener("failed", () => {
      byId("sound-note").textContent = "This browser cannot play the clip.";
    });
    view.addEventListener("change", () => this.drawMarks());
  }

  /**
   * Load the clip of an item, if it is not loaded yet.
   * @param {Item} item
   * @returns {Promise<Loaded>}
   */
  load(item) {
    const key = `${item.id} ${this.context}`, known = this.clips.get(key);
    if (known) return known;
    const loading = this.fetch(item);
    this.clips.set(key, loading);
    loading.catch(() => this.clips.delete(key));
    for (const old of this.clips.keys()) if (this.clips.size > KEPT) this.clips.delete(old);
    return loading;
  }

  /** @param {Item} item */
  async fetch(item) {
    const blob = await this.api.clip(item, this.context);
    return {blob, sound: await decode(/** @type {any} */ (blob), item.end - item.start + 2 * this.context, undefined)};
  }

  /**
   * Show an item; null: none.
   * @param {Item|null} item
   */
  async show(item) {
    this.item = item;
    this.player.close();
    this.plot.use(null);
    byId("item").removeAttribute("data-ready");
    if (!item) return;
    const first = Math.max(0, item.start - this.context), last = Math.min(item.duration, item.end + this.context);
    this.window = {start: item.start - first, end: item.end - first};
    this.view.open(last - first);
    this.drawMarks();
    byId("sound-note").textContent = "Loading …";
    let loaded;
    try {
      loaded = await this.load(item);
    } catch (problem) {
      if (this.item === item) byId("sound-note").textContent = /** @type {Error} */ (problem).message;
      return;
    }
    if (this.item !== item) return;
    byId("sound-note").textContent = loaded.sound ? "" : "This browser does not decode the clip.";
    this.player.open(loaded.blob, last - first);
    if (loaded.sound) {
      const source = await this.computed.open(loaded.sound.samples, loaded.sound.rate);
      if (this.item !== item) return;
      this.plot.use(source);
    }
    byId("item").setAttribute("data-ready", item.id);
    if (this.autoplay) this.play();
  }

  /** @param {number} seconds of sound before and after the window */
  setContext(seconds) {
    this.context = seconds;
    if (this.item) void this.show(this.item);
  }

  /** @param {boolean} repeat whether the marked window is repeated */
  setRepeat(repeat) {
    this.repeat = repeat;
    byId("repeat").setAttribute("aria-pressed", String(repeat));
    if (repeat) this.play();
    else this.player.stopLoop();
  }

  play() {
    if (this.repeat) this.player.playSpan(this.window.start, this.window.end, true);
    else this.player.play(0);
  }

  toggle() {
    if (!this.player.url) return;
    if (this.repeat && !this.player.playing && !this.player.span) this.play();
    else this.player.toggle();
  }

  drawMarks() {
    const {start, end} = this.window, place = (/** @type {number} */ time) => Math.max(0, Math.min(1, this.view.place(time)));
    byId("before").style.width = `${100 * place(start)}%`;
    byId("after").style.width = `${100 * (1 - place(end))}%`;
    byId("before").hidden = place(start) <= 0;
    byId("after").hidden = place(end) >= 1;
    this.drawCursor();
  }

  drawCursor() {
    const {player, view} = this, plot = byId("plot"), place = view.place(player.time);
    byId("cursor").hidden = place < -0.001 || place > 1.001;
    byId("cursor").style.transform = `translateX(${place * plot.clientWidth}px)`;
    byId("time").textContent = `${clock(player.time)} / ${clock(player.duration)}`;
    plot.setAttribute("aria-valuenow", player.time.toFixed(2));
    plot.setAttribute("aria-valuemax", view.duration.toFixed(2));
    plot.setAttribute("aria-valuetext", `${clock(player.time)} of ${clock(view.duration)}`);
  }
}
