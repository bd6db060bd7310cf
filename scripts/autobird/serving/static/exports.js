/** Tables of the detections that are shown, with the columns of docs/outputs.md, and files for the user. */

import {element} from "./dom.js";

/** @typedef {import("./types.js").Detection} Detection */
/** @typedef {{file: string, duration: number, detections: Detection[], place?: import("./types.js").Place}} Recording duration in seconds */

const CSV_COLUMNS = ["file", "start", "end", "species", "probability", "site", "recorder", "recorded_at", "date", "time", "unknown_score"];

const RAVEN_COLUMNS = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)", "Begin Path",
  "File Offset (s)", "Begin File", "Species", "Score", "Unknown Score"];

/**
 * Return the CSV table. The columns of site, recorder and time are empty where the server does not know them.
 * @param {readonly Recording[]} recordings
 */
export function csvTable(recordings) {
  const rows = recordings.flatMap(({file, detections, place}) => detections.map((d) =>
    [file, seconds(d.start), seconds(d.end), d.species, d.probability.toFixed(4), place?.site ?? "", place?.recorder ?? "",
      place?.recorded_at ?? "", ...dateAndTime(place?.recorded_at ?? "", d.start), scoreCell(d.unknown_score)]));
  return [CSV_COLUMNS, ...rows].map((row) => `${row.map(quoted).join(",")}\n`).join("");
}

/**
 * Return Raven's selection table. With several recordings, the begin counts from the start of the first, as if Raven had opened all of them
 * as one sequence.
 * @param {readonly Recording[]} recordings
 * @param {{low: number, high: number}} band limits of the model's mel bands, Hz: detections have no frequencies of their own
 */
export function ravenTable(recordings, band) {
  let text = tabLine(RAVEN_COLUMNS), selection = 0, elapsed = 0;
  for (const {file, duration, detections} of recordings) {
    for (const d of detections) {
      selection += 1;
      text += tabLine([String(selection), "Spectrogram 1", "1", seconds(elapsed + d.start), seconds(elapsed + d.end), String(band.low),
        String(band.high), file, seconds(d.start), file.split("/").pop() ?? file, d.species, d.probability.toFixed(4),
        scoreCell(d.unknown_score)]);
    }
    elapsed += duration;
  }
  return text;
}

/**
 * Return Audacity's labels of one recording.
 * @param {Recording} recording
 */
export function audacityLabels({detections}) {
  return detections.map((d) => tabLine([d.start.toFixed(6), d.end.toFixed(6), d.species])).join("");
}

/**
 * Return the local date and time of day at a place of a recording; empty if its start is unknown.
 * @param {string} recordedAt start of the recording, ISO 8601, with or without offset from UTC
 * @param {number} after seconds from the start
 * @returns {string[]}
 */
function dateAndTime(recordedAt, after) {
  // The clock of the recording's place, whatever the zone of this computer: read as if it were UTC.
  const clock = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)/.exec(recordedAt);
  if (!clock) return ["", ""];
  const at = new Date(Date.parse(`${clock[1]}T${clock[2]}Z`) + 1000 * after).toISOString();
  return [at.slice(0, 10), at.slice(11, 19)];
}

/**
 * Write a score with 4 decimals; empty if it is unknown.
 * @param {number|null|undefined} value
 */
function scoreCell(value) {
  return typeof value === "number" ? value.toFixed(4) : "";
}

/**
 * Write seconds with up to 3 decimals, without zeros at the end.
 * @param {number} value
 */
function seconds(value) {
  return value.toFixed(3).replace(/\.?0+$/, "");
}

/**
 * Quote a cell of a CSV table where it needs quotes.
 * @param {string} cell
 */
function quoted(cell) {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

/**
 * Return a line of a table separated by tabs, which has no way to write tabs and line ends within a cell.
 * @param {string[]} cells
 */
function tabLine(cells) {
  return `${cells.map((cell) => (/[\t\r\n]/.test(cell) ? cell.trim().split(/\s+/).join(" ") : cell)).join("\t")}\n`;
}

/**
 * Give a file to the user.
 * @param {string} name
 * @param {Blob|string} content
 */
export function save(name, content) {
  const blob = typeof content === "string" ? new Blob([content], {type: "text/plain;charset=utf-8"}) : content;
  const url = URL.createObjectURL(blob);
  element("a", {href: url, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the browser may start to read it later
}
