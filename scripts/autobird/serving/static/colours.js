/**
 * Colour maps of the spectrogram. Their lightness increases (or decreases) steadily, so that people who do not see all colours and
 * prints in grey show the same order.
 *
 * `viridis` (van der Walt and Smith, CC0) and `cividis` (Nuñez, Anderton and Renslow 2018, https://doi.org/10.1371/journal.pone.0199239,
 * made for colour vision deficiency) are interpolated between nine colours of their published tables; the error is below 8 % of a channel.
 */

/** @type {Record<string, string[]>} */
const STOPS = {
  viridis: ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#27ad81", "#5cc863", "#aadc32", "#fde725"],
  cividis: ["#00224e", "#1a386f", "#434e6c", "#61656f", "#7d7c78", "#9a9376", "#bbad6d", "#ddc858", "#fee838"],
  light: ["#ffffff", "#e3e7ee", "#c6cedb", "#a7b3c6", "#8795ad", "#667691", "#475773", "#293851", "#0d1626"],
};

/** Level differences that the values 0 to 255 of a spectrogram stand for, dB. */
export const RANGE_DB = 100;

/**
 * Return the colour of silence.
 * @param {string} name see `colourTable`
 */
export function lowestColour(name) {
  return (STOPS[name] ?? STOPS.viridis)[0];
}

/**
 * Return the colours of the values 0 to 255.
 * @param {string} name `viridis`, `cividis` or `light`
 * @param {number} floor value that gets the first colour, as have all below it
 * @returns {Uint32Array} colours as the pixels of an ImageData, little-endian; shape (256,)
 */
export function colourTable(name, floor) {
  const stops = (STOPS[name] ?? STOPS.viridis).map((text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)));
  const table = new Uint32Array(256), last = stops.length - 1;
  for (let value = 0; value < 256; value++) {
    const place = last * Math.min(1, Math.max(0, (value - floor) / Math.max(1, 255 - floor)));
    const below = Math.min(last - 1, Math.floor(place)), share = place - below;
    const [r, g, b] = stops[below].map((low, k) => Math.round(low + share * (stops[below + 1][k] - low)));
    table[value] = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  }
  return table;
}
