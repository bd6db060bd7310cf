/** Ways to add recordings: choose files, drop files or folders, record with the microphone. */

import {announce, byId} from "./dom.js";
import {canRecord, Recorder} from "./recorder.js";
import {clock} from "./text.js";

/** @typedef {import("./queue.js").Queue} Queue */

/** Names of files in a dropped folder that are certainly no recordings, for example those of file managers. */
const NO_RECORDING = /^\.|\.(txt|csv|tsv|json|xml|log|pdf|docx?|xlsx?|png|jpe?g|gif|db|ini|html?|md|zip|gz)$/i;

/**
 * Connect the controls.
 * @param {Queue} queue
 */
export function connectIntake(queue) {
  const input = byId("file"), drop = byId("drop");
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = ""; // otherwise, choosing the same file again is no change
    if (files.length) queue.add(files);
  });
  input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter") return; // Chromium opens the dialog with the space key alone
    event.preventDefault();
    input.click();
  });
  for (const kind of ["dragenter", "dragover"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    void droppedFiles(event.dataTransfer).then((files) => files.length && queue.add(files));
  });
  if (canRecord) connectRecorder(queue);
}

/**
 * Return the files that were dropped, those in folders, too.
 * @param {DataTransfer|null} transfer
 * @returns {Promise<File[]>}
 */
async function droppedFiles(transfer) {
  if (!transfer) return [];
  const files = [...transfer.files]; // the list is empty after the first await
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  if (!entries.some((entry) => entry?.isDirectory)) return files;
  const found = await Promise.all(entries.map((entry, k) => (entry?.isDirectory ? filesIn(entry) : files[k] ? [files[k]] : [])));
  return found.flat();
}

/**
 * @param {any} entry a FileSystemEntry
 * @returns {Promise<File[]>}
 */
async function filesIn(entry) {
  if (entry.isFile) {
    if (NO_RECORDING.test(entry.name)) return [];
    return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  }
  const reader = entry.createReader(), files = [];
  for (;;) { // a reader returns at most 100 entries at a time
    /** @type {any[]} */
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return files;
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const inner of entries) files.push(...await filesIn(inner));
  }
}

/** @param {Queue} queue */
function connectRecorder(queue) {
  const button = byId("record"), state = byId("record-state"), meter = byId("record-level");
  /** @type {Recorder|null} */
  let recorder = null;
  let timer = 0;
  button.hidden = false;
  const stop = async () => {
    const done = recorder;
    if (!done) return;
    recorder = null;
    clearInterval(timer);
    button.textContent = "Record with the microphone";
    meter.hidden = true;
    state.textContent = "";
    const file = await done.stop();
    if (!done.length) state.textContent = "nothing was recorded";
    else queue.add([file]);
  };
  button.addEventListener("click", async () => {
    if (recorder) return stop();
    const started = new Recorder();
    started.onFull = stop;
    button.disabled = true;
    try {
      await started.start();
    } catch (error) {
      state.textContent = error instanceof Error ? error.message : String(error);
      announce(state.textContent);
      return;
    } finally {
      button.disabled = false;
    }
    recorder = started;
    button.textContent = "Stop and classify";
    meter.hidden = false;
    announce("recording");
    timer = window.setInterval(() => {
      state.textContent = clock(started.seconds, 0);
      meter.value = started.peak;
    }, 200);
  });
}
