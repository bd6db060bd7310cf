/** Decode recordings in the browser, for the spectrogram, exact playback and clips. */

/** Longest recording that is decoded, seconds: one hour at 48 kHz needs 700 MB. Longer ones are shown with the server's spectrogram. */
const LONGEST = 1800;

/** Sample rates that browsers must support, Hz (Web Audio API, section 1.2.6), and the default: that of most recorders. */
const LOWEST_RATE = 8000, HIGHEST_RATE = 96000, DEFAULT_RATE = 48000;

/** @typedef {{samples: Float32Array, rate: number}} Sound mono samples, full scale = 1, and their rate in Hz */

/**
 * Decode a recording and mix it to mono.
 * @param {File} file
 * @param {number} duration seconds, as the server decoded it
 * @param {number|undefined} rate sample rate of the file, Hz, if known
 * @returns {Promise<Sound|null>} null if the recording is too long, or if this browser cannot decode it
 */
export async function decode(file, duration, rate) {
  const Context = window.OfflineAudioContext;
  if (!Context || duration > LONGEST) return null;
  const used = Math.max(LOWEST_RATE, Math.min(HIGHEST_RATE, rate || (await rateOfHeader(file)) || DEFAULT_RATE));
  try {
    const decoded = await new Context(1, 1, used).decodeAudioData(await file.arrayBuffer());
    return {samples: mono(decoded), rate: used};
  } catch {
    return null;
  }
}

/**
 * Return the mean of the channels.
 * @param {AudioBuffer} decoded
 */
function mono(decoded) {
  if (decoded.numberOfChannels === 1) return decoded.getChannelData(0);
  const mixed = new Float32Array(decoded.length);
  for (let channel = 0; channel < decoded.numberOfChannels; channel++) {
    const samples = decoded.getChannelData(channel);
    for (let n = 0; n < mixed.length; n++) mixed[n] += samples[n] / decoded.numberOfChannels;
  }
  return mixed;
}

/**
 * Read the sample rate of a wav or flac file from its header.
 * @param {File} file
 * @returns {Promise<number>} Hz; 0 if it is another format
 */
async function rateOfHeader(file) {
  const head = new DataView(await file.slice(0, 64).arrayBuffer());
  if (head.byteLength < 44) return 0;
  const name = head.getUint32(0);
  if (name === 0x52494646 && head.getUint32(12) === 0x666d7420) return head.getUint32(24, true); // RIFF, "fmt " first
  if (name === 0x664c6143) return head.getUint32(18) >>> 12; // fLaC: 20 bits after the sizes of blocks and frames
  return 0;
}
