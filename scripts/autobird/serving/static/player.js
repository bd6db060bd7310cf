/** Plays the recording that is shown: from a place, a detection once or in a loop, louder, slower. */

import {wavFile} from "./wav.js";

/** @typedef {{start: number, end: number, repeat: boolean}} Span seconds */

/** The sound of one recording. Events: `state` (playing or not, loop), `time` (for each frame while it plays), `failed`. */
export class Player extends EventTarget {
  constructor() {
    super();
    this.audio = new Audio();
    this.audio.preload = "auto";
    // Slower sound is lower, as on a tape: this keeps the shape of calls, which stretching at the same pitch would smear.
    this.audio.preservesPitch = false;
    /** @type {Span|null} */
    this.span = null;
    this.duration = 0;
    this.speed = 1;
    this.gainDb = 0;
    /** @type {AudioContext|null} */
    this.context = null;
    /** @type {GainNode|null} */
    this.gain = null;
    this.url = "";
    this.ticking = false;
    /** @type {import("./decode.js").Sound|null} */
    this.better = null;
    for (const name of ["play", "pause", "ended"]) this.audio.addEventListener(name, () => this.changed());
    // Frames are not drawn in a hidden tab, but the end of a span must be noticed there, too.
    this.audio.addEventListener("timeupdate", () => this.checkSpan());
    this.audio.addEventListener("seeked", () => this.dispatchEvent(new Event("time")));
    this.audio.addEventListener("error", () => this.url && this.dispatchEvent(new Event("failed")));
  }

  get time() {
    return Math.min(this.audio.currentTime, this.duration);
  }

  get playing() {
    return !this.audio.paused && !this.audio.ended;
  }

  /**
   * Use a file as it is.
   * @param {Blob} file
   * @param {number} duration seconds
   */
  open(file, duration) {
    this.close();
    this.duration = duration;
    this.url = URL.createObjectURL(file);
    this.audio.src = this.url;
    this.audio.playbackRate = this.audio.defaultPlaybackRate = this.speed;
    this.changed();
  }

  /**
   * Use decoded sound in place of the file: browsers seek in it exactly, which they do not in mp3 of variable bit rate.
   * @param {import("./decode.js").Sound} sound
   */
  improve(sound) {
    if (this.playing) {
      this.better = sound; // until it stops
      return;
    }
    const {time, span} = this;
    this.open(wavFile(sound.samples, sound.rate), this.duration);
    this.span = span;
    if (time) this.audio.currentTime = time;
  }

  close() {
    this.better = null;
    this.audio.pause();
    this.span = null;
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = "";
    this.audio.removeAttribute("src");
  }

  /**
   * Play from a place to the end.
   * @param {number} time seconds
   */
  play(time) {
    this.span = null;
    this.start(time >= this.duration - 0.02 ? 0 : time);
  }

  /**
   * Play a part.
   * @param {number} start seconds
   * @param {number} end seconds
   * @param {boolean} repeat again and again
   */
  playSpan(start, end, repeat) {
    this.span = {start, end, repeat};
    this.start(start);
  }

  toggle() {
    if (this.playing) this.audio.pause();
    else if (this.span && this.time >= this.span.start && this.time < this.span.end - 0.02) this.start(this.time);
    else this.play(this.time);
  }

  stopLoop() {
    this.span = null;
    this.changed();
  }

  /** @param {number} time seconds */
  seek(time) {
    this.span = null;
    this.audio.currentTime = time;
    this.changed();
  }

  /** @param {number} speed 1: as recorded */
  setSpeed(speed) {
    this.speed = speed;
    this.audio.playbackRate = this.audio.defaultPlaybackRate = speed;
  }

  /** @param {number} db gain in dB */
  setGain(db) {
    this.gainDb = db;
    if (this.gain) this.gain.gain.value = 10 ** (db / 20);
    else if (db) this.connectGain();
  }

  /** @param {number} time seconds */
  start(time) {
    this.audio.currentTime = time;
    if (this.gainDb) this.connectGain();
    void this.context?.resume();
    this.audio.play().catch(() => this.url && this.audio.error && this.dispatchEvent(new Event("failed")));
    this.changed();
  }

  connectGain() {
    if (this.gain) return;
    this.context = new AudioContext();
    this.gain = this.context.createGain();
    this.context.createMediaElementSource(this.audio).connect(this.gain).connect(this.context.destination);
    this.gain.gain.value = 10 ** (this.gainDb / 20);
  }

  changed() {
    if (this.better && !this.playing) return this.improve(this.better);
    this.dispatchEvent(new Event("state"));
    if (this.playing) requestAnimationFrame(() => this.tick());
    this.dispatchEvent(new Event("time"));
  }

  tick() {
    this.checkSpan();
    this.dispatchEvent(new Event("time"));
    if (this.playing && !this.ticking) {
      this.ticking = true;
      requestAnimationFrame(() => {
        this.ticking = false;
        this.tick();
      });
    }
  }

  checkSpan() {
    const {span} = this;
    if (!span || this.audio.seeking || (this.time < span.end && !this.audio.ended)) return;
    if (span.repeat) {
      this.audio.currentTime = span.start;
      if (!this.playing) void this.audio.play();
    } else {
      this.span = null;
      this.audio.pause();
    }
  }
}
