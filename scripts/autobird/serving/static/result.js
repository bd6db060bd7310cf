/** The result of the file that is shown: facts, spectrogram, rows, detections, sound and downloads. */

import {decode} from "./decode.js";
import {DetectionTable} from "./detectiontable.js";
import {announce, byId, element} from "./dom.js";
import {audacityLabels, csvTable, ravenTable, save} from "./exports.js";
import {connectKeys, connectPointer} from "./gestures.js";
import {Player} from "./player.js";
import {connectOverview, Plot} from "./plot.js";
import {Rows} from "./rows.js";
import {BrowserSpectrogram, serverSpectrogram} from "./spectrogram.js";
import {bestSpecies, summary, warningsOf} from "./summaries.js";
import {clock, counted, score, stem} from "./text.js";
import {TimeView} from "./timeview.js";
import {wavFile} from "./wav.js";

/** @typedef {import("./types.js").Detection} Detection */
/** @typedef {import("./types.js").Entry} Entry */

/** Time before and after a detection in its clip, seconds. */
const CLIP_MARGIN = 0.5;

/** Shows one file at a time. */
export class Result {
  /** @param {import("./options.js").Options} options */
  constructor(options) {
    this.options = options;
    /** @type {Entry|null} */
    this.entry = null;
    /** @type {import("./decode.js").Sound|null} */
    this.sound = null;
    this.view = new TimeView();
    this.player = new Player();
    this.computed = new BrowserSpectrogram();
    this.plot = new Plot({canvas: byId("spectrogram"), frequencies: byId("frequencies"), times: byId("times"), overview: byId("overview")},
      this.view);
    this.rows = new Rows(this.view, options, (time) => this.playFrom(time));
    this.table = new DetectionTable(options, {play: (d, repeat) => this.playDetection(d, repeat), clip: (d) => this.saveClip(d)});
    this.connect();
  }

  connect() {
    const {view, player, options} = this, plot = byId("plot");
    connectPointer(plot, view, (time) => this.playFrom(time));
    connectKeys(plot, view, player);
    connectOverview(byId("overview"), view);
    byId("species").addEventListener("click", (/** @type {MouseEvent} */ event) => {
      if (/** @type {Element} */ (event.target).closest(".lane")) this.playFrom(this.timeAt(event));
    });
    for (const id of ["plot", "species"]) {
      byId(id).addEventListener("pointermove", (/** @type {PointerEvent} */ event) => this.describe(event));
      byId(id).addEventListener("pointerleave", () => byId("readout").replaceChildren());
    }
    player.addEventListener("time", () => this.drawCursor());
    player.addEventListener("state", () => this.table.mark(player.span));
    player.addEventListener("failed", () => this.cannotPlay());
    view.addEventListener("change", () => this.drawCursor());
    new ResizeObserver(() => this.drawCursor()).observe(plot);
    options.addEventListener("change", () => this.refresh());
    byId("save-csv").addEventListener("click", () => this.save("csv"));
    byId("save-raven").addEventListener("click", () => this.save("raven"));
    byId("save-audacity").addEventListener("click", () => this.save("audacity"));
  }

  /**
   * Show a classified file; null: none.
   * @param {Entry|null} entry
   */
  show(entry) {
    this.entry = entry;
    this.sound = null;
    const answer = entry?.answer;
    byId("result").hidden = !answer;
    if (!entry || !answer) return this.player.close();
    byId("title").textContent = entry.file.name;
    byId("sound-note").textContent = "";
    this.drawFacts(entry);
    this.player.open(entry.file, answer.duration);
    this.view.open(answer.duration);
    this.table.reset();
    this.plot.use(answer.spectrogram ? serverSpectrogram(answer.spectrogram, answer.duration) : null);
    this.refresh();
    void this.decode(entry);
  }

  /**
   * Decode the file and replace the server's spectrogram by a finer one. Nothing changes if another file is shown meanwhile.
   * @param {Entry} entry
   */
  async decode(entry) {
    const {answer} = entry;
    if (!answer) return;
    const sound = await decode(entry.file, answer.duration, answer.audio?.sample_rate);
    if (this.entry !== entry) return;
    if (!sound) {
      byId("sound-note").textContent = entry.isRestored
        ? "No sound and no spectrogram: this page was loaded again; add the file again to hear it."
        : `${answer.spectrogram ? "The spectrogram is the server's" : "No spectrogram"}: this browser does not decode the file, or it is very long.`;
      return;
    }
    const source = await this.computed.open(sound.samples, sound.rate);
    if (this.entry !== entry) return;
    this.sound = sound;
    this.player.improve(sound);
    this.plot.use(source);
    this.table.allowClips(true);
    byId("result").dataset.source = "browser";
  }

  /** @param {Entry} entry */
  drawFacts(entry) {
    const {answer} = entry, audio = answer?.audio;
    if (!answer) return;
    byId("result").dataset.source = "server";
    const facts = [
      ["length", clock(answer.duration)],
      ["most probable", bestSpecies(answer, this.options.commonNames)],
    ];
    if (typeof answer.unknown_score === "number") facts.push(["none of mine", score(answer.unknown_score)]);
    if (audio?.sample_rate) facts.push(["sound", `${audio.sample_rate / 1000} kHz, ${counted(audio.channels ?? 1, "channel")}`]);
    if (typeof audio?.level_dbfs === "number") facts.push(["level", `${audio.level_dbfs.toFixed(0)} dBFS`]);
    if (audio?.clipped_share) facts.push(["clipped", `${(100 * audio.clipped_share).toPrecision(2)} %`]);
    byId("facts").replaceChildren(...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
    byId("warnings").replaceChildren(...warningsOf(entry).map((text) => element("li", {}, text)));
  }

  /** Draw what depends on thresholds and names. */
  refresh() {
    const {entry} = this, answer = entry?.answer;
    if (!entry || !answer) return;
    this.drawFacts(entry);
    byId("result").dataset.source = this.sound ? "browser" : "server";
    const detections = this.options.detections(answer);
    this.rows.show(answer, detections);
    this.table.show(detections);
    this.table.allowClips(Boolean(this.sound));
    byId("summary").textContent = summary(detections);
  }

  drawCursor() {
    const cursor = byId("cursor"), place = this.view.place(this.player.time), plot = byId("plot");
    if (this.player.playing) this.view.reveal(this.player.time);
    cursor.hidden = place < -0.001 || place > 1.001;
    cursor.style.transform = `translateX(${plot.offsetLeft + place * plot.offsetWidth}px)`;
    plot.setAttribute("aria-valuenow", this.player.time.toFixed(2));
    plot.setAttribute("aria-valuemax", this.view.duration.toFixed(2));
    plot.setAttribute("aria-valuetext", `${clock(this.player.time)} of ${clock(this.view.duration)}`);
  }

  /** @param {number} time seconds */
  playFrom(time) {
    this.view.reveal(time);
    this.player.play(time);
  }

  /**
   * @param {Detection} d
   * @param {boolean} repeat
   */
  playDetection(d, repeat) {
    const {span, playing} = this.player;
    if (repeat && playing && span?.repeat && span.start === d.start && span.end === d.end) return this.player.stopLoop();
    if (d.start < this.view.start || d.end > this.view.end) {
      const length = Math.max(this.view.span, d.end - d.start);
      this.view.set((d.start + d.end - length) / 2, (d.start + d.end + length) / 2);
    }
    this.player.playSpan(d.start, d.end, repeat);
  }

  cannotPlay() {
    if (this.entry?.isRestored) return;
    byId("sound-note").textContent = "This browser cannot play this file; convert it to wav, flac or mp3 to hear it here.";
    announce(byId("sound-note").textContent);
  }

  /** @param {PointerEvent|MouseEvent} event */
  timeAt(event) {
    const box = byId("plot").getBoundingClientRect();
    return this.view.time((event.clientX - box.left) / Math.max(1, box.width));
  }

  /** @param {PointerEvent} event */
  describe(event) {
    const time = this.timeAt(event), target = /** @type {Element} */ (event.target);
    let text = this.rows.describe(event.target, time);
    if (!text && target.closest("#plot")) {
      const box = byId("plot").getBoundingClientRect(), {high} = this.plot;
      text = clock(time, 2);
      if (this.sound) text += `, ${(((1 - (event.clientY - box.top) / box.height) * high) / 1000).toFixed(2)} kHz`;
    }
    byId("readout").textContent = target.closest(".lane, #plot") ? text : "";
  }

  /** @param {Detection} d */
  saveClip(d) {
    if (!this.entry || !this.sound) return;
    const {samples, rate} = this.sound;
    const first = Math.max(0, Math.floor((d.start - CLIP_MARGIN) * rate)), last = Math.ceil((d.end + CLIP_MARGIN) * rate);
    const species = d.species.replace(/[^\p{L}\p{N}]+/gu, "_");
    save(`${stem(this.entry.file.name)}_${d.start}-${d.end}s_${species}.wav`, wavFile(samples.subarray(first, last), rate));
  }

  /** @param {"csv"|"raven"|"audacity"} format */
  save(format) {
    const {entry, options} = this;
    if (!entry?.answer) return;
    const recording = {file: entry.file.name, duration: entry.answer.duration,
      detections: options.detections(entry.answer), place: entry.answer.recording};
    const name = stem(entry.file.name);
    if (format === "csv") save(`${name}.csv`, csvTable([recording]));
    if (format === "raven") save(`${name}.Table.1.selections.txt`, ravenTable([recording], options.band));
    if (format === "audacity") save(`${name}.txt`, audacityLabels(recording));
  }
}
