/** Write times, sizes and probabilities for people. */

/**
 * Write a time in a recording as minutes and seconds, hours only where needed: `1:02.5`.
 * @param {number} seconds
 * @param {number} [decimals]
 */
export function clock(seconds, decimals = 1) {
  const unit = 10 ** decimals, total = Math.round(Math.max(0, seconds) * unit) / unit;
  const hours = Math.floor(total / 3600), minutes = Math.floor((total % 3600) / 60);
  const rest = (total % 60).toFixed(decimals).padStart(decimals ? 3 + decimals : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/**
 * Write a number of bytes in megabytes or kilobytes.
 * @param {number} bytes
 */
export function fileSize(bytes) {
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.max(1, Math.round(bytes / 1e3))} kB`;
}

/**
 * Write a probability or score with two decimals; a dash if it is unknown.
 * @param {number|null|undefined} value
 */
export function score(value) {
  return value === null || value === undefined ? "–" : value.toFixed(2);
}

/**
 * Write a number and the noun that fits it: `1 detection`, `2 detections`.
 * @param {number} count
 * @param {string} noun in the singular
 */
export function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : noun.endsWith("s") ? "" : "s"}`;
}

/**
 * Return the least "round" step that divides a span into at most `parts`.
 * @param {number} span
 * @param {number} parts
 * @param {readonly number[]} steps in increasing order
 */
export function roundStep(span, parts, steps) {
  return steps.find((step) => span / step <= parts) ?? steps[steps.length - 1];
}

/**
 * Return the name of a file without its last extension.
 * @param {string} name
 */
export function stem(name) {
  return name.replace(/\.[^./\\]{1,5}$/, "") || name;
}
