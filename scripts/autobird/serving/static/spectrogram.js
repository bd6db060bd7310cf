/** The two sources of a spectrogram: computed from the sound in the browser, or sent by the server. */

/** @typedef {import("./types.js").ServerSpectrogram} ServerSpectrogram */
/** @typedef {{start: number, end: number, columns: number, rows: number, high: number}} Part seconds, pixels, highest frequency in Hz */
/** @typedef {{start: number, end: number, columns: number, rows: number, data: Uint8Array}} Picture row by row from the highest band */
/**
 * @typedef {object} Source
 * @property {number} floor value of the median of the spectrogram, 0 to 255
 * @property {number} nyquist highest frequency that it can show, Hz
 * @property {(frequency: number, high: number) => number} height height of a frequency in the picture, 0 (bottom) to 1
 * @property {(part: Part) => Promise<Picture|null>} draw null if a later part has been asked for
 */

/** Draws in a worker; the newest request for a part is computed, older ones that still wait are not. */
export class BrowserSpectrogram {
  constructor() {
    this.worker = new Worker(new URL("./spectrogram-worker.js", import.meta.url), {type: "module"});
    this.worker.onmessage = ({data}) => this.receive(data);
    this.number = 0;
    this.running = 0;
    /** @type {Map<number, (message: any) => void>} */
    this.answers = new Map();
    /** @type {(() => void)|null} */
    this.waiting = null;
    /** @type {(() => void)|null} */
    this.resume = null;
  }

  /**
   * Use the samples of another recording.
   * @param {Float32Array} samples mono
   * @param {number} rate Hz
   * @returns {Promise<Source>}
   */
  async open(samples, rate) {
    const {floor} = await this.ask({kind: "open", samples, rate});
    return {floor, nyquist: rate / 2, height: (frequency, high) => frequency / high, draw: (part) => this.draw(part)};
  }

  /**
   * @param {Part} part
   * @returns {Promise<Picture|null>}
   */
  async draw(part) {
    this.waiting?.();
    if (this.running) {
      const isLatest = await new Promise((resolve) => {
        this.waiting = () => resolve(false);
        this.resume = () => resolve(true);
      });
      if (!isLatest) return null;
    }
    this.waiting = null;
    const {data} = await this.ask({kind: "draw", part});
    return {...part, data};
  }

  /**
   * @param {any} message
   * @returns {Promise<any>}
   */
  ask(message) {
    const number = ++this.number;
    this.running += 1;
    return new Promise((resolve) => {
      this.answers.set(number, resolve);
      this.worker.postMessage({...message, number});
    });
  }

  /** @param {any} message */
  receive(message) {
    this.running -= 1;
    this.answers.get(message.number)?.(message);
    this.answers.delete(message.number);
    if (!this.running) this.resume?.();
  }
}

/**
 * Return the spectrogram that the server sent: the mel bands of the model, all of the recording in one picture.
 * @param {ServerSpectrogram} sent
 * @param {number} duration seconds
 * @returns {Source}
 */
export function serverSpectrogram(sent, duration) {
  const text = atob(sent.data), {bands, columns} = sent, data = new Uint8Array(bands * columns);
  for (let row = 0; row < bands; row++) {
    for (let x = 0; x < columns; x++) data[(bands - 1 - row) * columns + x] = text.charCodeAt(row * columns + x);
  }
  const low = mel(sent.fmin), span = mel(sent.fmax) - low;
  return {
    floor: 0,
    nyquist: sent.fmax,
    height: (frequency) => (mel(frequency) - low) / span,
    draw: async () => ({start: 0, end: duration, columns, rows: bands, data}),
  };
}

/**
 * Convert a frequency in Hz to mel (the formula of HTK, as in the model's front end).
 * @param {number} frequency
 */
function mel(frequency) {
  return 2595 * Math.log10(1 + frequency / 700);
}
