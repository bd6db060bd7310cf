/** Short-time Fourier transform of a part of a recording, for the picture of the spectrogram. */

import {RANGE_DB} from "./colours.js";

/** Length of a frame, seconds; the next power of two of samples is used. */
const FRAME_SECONDS = 0.02;

/** Most frames that are computed for one column when a column covers more than a frame; the loudest counts. */
const FRAMES_PER_COLUMN = 4;

/** Fourier transform of frames of a fixed length, with a Hann window. */
export class FrameTransform {
  /** @param {number} size length of a frame, samples; a power of two */
  constructor(size) {
    this.size = size;
    this.window = Float64Array.from({length: size}, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / size));
    this.cos = Float64Array.from({length: size / 2}, (_, n) => Math.cos((2 * Math.PI * n) / size));
    this.sin = Float64Array.from({length: size / 2}, (_, n) => -Math.sin((2 * Math.PI * n) / size));
    this.reversed = reversedBits(size);
    this.real = new Float64Array(size);
    this.imaginary = new Float64Array(size);
  }

  /**
   * Add the power of one frame to the highest so far.
   * @param {Float32Array} samples
   * @param {number} first first sample of the frame; samples outside the recording are 0
   * @param {Float64Array} power highest power of each frequency; shape (size / 2 + 1,)
   */
  raisePower(samples, first, power) {
    const {size, window, reversed, real, imaginary} = this;
    for (let n = 0; n < size; n++) {
      const at = first + n;
      real[reversed[n]] = at >= 0 && at < samples.length ? samples[at] * window[n] : 0;
    }
    imaginary.fill(0);
    this.transform();
    for (let k = 0; k <= size / 2; k++) {
      const value = real[k] * real[k] + imaginary[k] * imaginary[k];
      if (value > power[k]) power[k] = value;
    }
  }

  /** Transform `real` and `imaginary`, whose values are in bit-reversed order (Cooley and Tukey, radix 2). */
  transform() {
    const {size, cos, sin, real, imaginary} = this;
    for (let half = 1; half < size; half *= 2) {
      const stride = size / (2 * half);
      for (let start = 0; start < size; start += 2 * half) {
        for (let n = start, t = 0; n < start + half; n++, t += stride) {
          const m = n + half;
          const x = real[m] * cos[t] - imaginary[m] * sin[t], y = real[m] * sin[t] + imaginary[m] * cos[t];
          real[m] = real[n] - x;
          imaginary[m] = imaginary[n] - y;
          real[n] += x;
          imaginary[n] += y;
        }
      }
    }
  }
}

/**
 * @param {number} size a power of two
 * @returns {Uint32Array}
 */
function reversedBits(size) {
  const reversed = new Uint32Array(size);
  for (let n = 1; n < size; n++) reversed[n] = (reversed[n >> 1] >> 1) | (n & 1 ? size / 2 : 0);
  return reversed;
}

/**
 * Return the length of a frame for a sample rate, samples.
 * @param {number} rate Hz
 */
export function frameSize(rate) {
  return 2 ** Math.ceil(Math.log2(rate * FRAME_SECONDS));
}

/**
 * Return a part of the spectrogram as an 8-bit picture.
 *
 * 255 is `ceiling`; each step is `RANGE_DB` / 255 dB.
 *
 * @param {FrameTransform} transform
 * @param {Float32Array} samples mono
 * @param {number} rate Hz
 * @param {{start: number, end: number, columns: number, rows: number, high: number, ceiling: number}} part start and end in seconds,
 *   high: the highest frequency, Hz (the lowest is 0), ceiling: level of 255, dB
 * @returns {Uint8Array} row by row from the highest frequency; shape (rows, columns)
 */
export function picture(transform, samples, rate, part) {
  const {start, end, columns, rows, high, ceiling} = part, {size} = transform;
  const data = new Uint8Array(rows * columns), power = new Float64Array(size / 2 + 1), level = new Float64Array(size / 2 + 1);
  const step = ((end - start) * rate) / columns;
  const frames = Math.max(1, Math.min(FRAMES_PER_COLUMN, Math.ceil((2 * step) / size)));
  const binsPerRow = ((high / rate) * size) / rows;
  for (let x = 0; x < columns; x++) {
    power.fill(0);
    for (let k = 0; k < frames; k++) {
      const centre = start * rate + (x + (k + 0.5) / frames) * step;
      transform.raisePower(samples, Math.round(centre - size / 2), power);
    }
    for (let k = 0; k < power.length; k++) level[k] = 10 * Math.log10(power[k] + 1e-12);
    for (let y = 0; y < rows; y++) {
      const low = (rows - 1 - y) * binsPerRow, db = levelOfRow(level, low, binsPerRow);
      data[y * columns + x] = Math.max(0, Math.min(255, Math.round(255 + ((db - ceiling) * 255) / RANGE_DB)));
    }
  }
  return data;
}

/**
 * Return the level of the frequencies of a row: the loudest if they are several, interpolated between two if they are less than one.
 * @param {Float64Array} level dB
 * @param {number} low lowest frequency of the row, bins
 * @param {number} bins height of the row, bins
 */
function levelOfRow(level, low, bins) {
  const last = level.length - 1;
  if (bins <= 1) {
    const at = low + bins / 2, below = Math.min(last, Math.floor(at)), above = Math.min(last, below + 1);
    return level[below] + (at - below) * (level[above] - level[below]);
  }
  let highest = -Infinity;
  for (let k = Math.min(last, Math.floor(low)); k <= Math.min(last, Math.ceil(low + bins) - 1); k++) {
    if (level[k] > highest) highest = level[k];
  }
  return highest;
}

/**
 * Return the levels between which the picture of a recording shows differences, from frames spread over the recording.
 * @param {FrameTransform} transform
 * @param {Float32Array} samples mono
 * @returns {{floor: number, ceiling: number}} dB: the median of all cells, and the level that 0.1 % of them exceed
 */
export function levels(transform, samples) {
  const frames = Math.max(1, Math.min(400, Math.floor(samples.length / transform.size)));
  const cells = new Float32Array(frames * (transform.size / 2)), power = new Float64Array(transform.size / 2 + 1);
  for (let k = 0; k < frames; k++) {
    power.fill(0);
    transform.raisePower(samples, Math.floor((k * samples.length) / frames), power);
    for (let b = 1; b <= transform.size / 2; b++) cells[k * (transform.size / 2) + b - 1] = 10 * Math.log10(power[b] + 1e-12);
  }
  const sorted = cells.sort();
  const ceiling = sorted[Math.floor(0.999 * (sorted.length - 1))];
  return {floor: Math.max(ceiling - 0.9 * RANGE_DB, sorted[Math.floor(0.5 * (sorted.length - 1))]), ceiling};
}
