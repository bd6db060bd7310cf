/** Write samples as a WAV file: 16 bits, mono. */

/**
 * Return a WAV file.
 * @param {Float32Array} samples full scale = 1; louder samples are clipped
 * @param {number} rate Hz
 * @returns {Blob}
 */
export function wavFile(samples, rate) {
  const header = new DataView(new ArrayBuffer(44)), bytes = 2 * samples.length;
  const text = (/** @type {number} */ at, /** @type {string} */ words) => {
    for (let k = 0; k < words.length; k++) header.setUint8(at + k, words.charCodeAt(k));
  };
  text(0, "RIFF");
  header.setUint32(4, 36 + bytes, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true); // length of the part that follows
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // channels
  header.setUint32(24, rate, true);
  header.setUint32(28, 2 * rate, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  text(36, "data");
  header.setUint32(40, bytes, true);
  const content = new DataView(new ArrayBuffer(bytes));
  for (let n = 0; n < samples.length; n++) {
    content.setInt16(2 * n, Math.round(Math.max(-1, Math.min(1, samples[n])) * 32767), true);
  }
  return new Blob([header.buffer, content.buffer], {type: "audio/wav"});
}
