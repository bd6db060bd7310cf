/** Record with the microphone into a WAV file, without the processing for speech that removes birds. */

import {wavFile} from "./wav.js";

/** Samples that are kept at most, seconds: the server refuses longer recordings by default. */
const LONGEST = 600;

/** Whether this browser gives pages access to the microphone: only at addresses of this machine or with https. */
export const canRecord = Boolean(window.isSecureContext && navigator.mediaDevices && window.AudioWorkletNode);

/** A recording that is being made. */
export class Recorder {
  constructor() {
    /** @type {Float32Array[]} */
    this.blocks = [];
    this.length = 0;
    this.rate = 48000;
    this.peak = 0;
    /** @type {MediaStream|null} */
    this.stream = null;
    /** @type {AudioContext|null} */
    this.context = null;
    /** Called when the longest length is reached. */
    this.onFull = () => {};
  }

  get seconds() {
    return this.length / this.rate;
  }

  /**
   * Start.
   * @throws {Error} the user or the system does not allow it; the message can be shown
   */
  async start() {
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        audio: {echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1},
      });
      this.context = new AudioContext();
      await this.context.audioWorklet.addModule(new URL("./recorder-worklet.js", import.meta.url));
    } catch (error) {
      await this.release();
      const name = error instanceof Error ? error.name : "";
      if (name === "NotAllowedError") throw new Error("this page may not use the microphone; allow it in the browser's address bar");
      if (name === "NotFoundError") throw new Error("no microphone was found; connect one and try again");
      throw new Error(`the microphone cannot be used (${name || "unknown error"}); check that no other program uses it`);
    }
    this.rate = this.context.sampleRate;
    const node = new AudioWorkletNode(this.context, "autobird-recorder", {numberOfOutputs: 1});
    node.port.onmessage = ({data}) => this.receive(data);
    // Chromium computes only what leads to the destination; the node's output is silence.
    this.context.createMediaStreamSource(this.stream).connect(node).connect(this.context.destination);
  }

  /** @param {Float32Array} block */
  receive(block) {
    this.blocks.push(block);
    this.length += block.length;
    for (const value of block) this.peak = Math.max(0.9999 * this.peak, Math.abs(value));
    if (this.seconds >= LONGEST) this.onFull();
  }

  /**
   * Stop and return the recording, named after the time at which it began.
   * @returns {Promise<File>}
   */
  async stop() {
    await this.release();
    const samples = new Float32Array(this.length);
    let at = 0;
    for (const block of this.blocks) {
      samples.set(block, at);
      at += block.length;
    }
    const began = new Date(Date.now() - 1000 * this.seconds);
    const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
    const date = `${began.getFullYear()}${two(began.getMonth() + 1)}${two(began.getDate())}`;
    const time = `${two(began.getHours())}${two(began.getMinutes())}${two(began.getSeconds())}`;
    return new File([wavFile(samples, this.rate)], `recorded_${date}_${time}.wav`, {type: "audio/wav"});
  }

  async release() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    if (this.context && this.context.state !== "closed") await this.context.close();
  }
}
