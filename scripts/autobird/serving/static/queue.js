/** The files of the session: sends them one after the other, keeps each answer with its file, and loses none when one fails. */

import {predict, RequestProblem} from "./api.js";
import {fileSize} from "./text.js";

/** @typedef {import("./types.js").Entry} Entry */

/** Requests at the same time: one is computed while the next is sent. */
const PARALLEL = 2;

/** Attempts of a file while the server says that it is busy (status 503 or 429). */
const ATTEMPTS = 20;

/** Longest time between two attempts, seconds. */
const LONGEST_WAIT = 30;

/**
 * Files of the session.
 *
 * Events: `change` with the entry as `detail` whenever an entry changes, `add` with the entries of a batch.
 */
export class Queue extends EventTarget {
  constructor() {
    super();
    /** @type {Entry[]} */
    this.entries = [];
    /** Largest file, MB; known once the server has been asked. */
    this.maxMegabytes = Infinity;
    /** Number of species in the answer of each window; 0: all. */
    this.topK = 0;
    this.batch = 0;
    this.nextId = 1;
  }

  /** Whether a file waits or is being classified. */
  get busy() {
    return this.entries.some((entry) => isOpen(entry));
  }

  /**
   * Add files that were chosen together.
   * @param {File[]} files
   */
  add(files) {
    this.batch += 1;
    const added = files.map((file) => this.newEntry(file));
    this.entries.push(...added);
    this.dispatchEvent(new CustomEvent("add", {detail: added}));
    for (const entry of added) this.check(entry);
    this.next();
  }

  /**
   * Stop a file that waits or is being classified.
   * @param {Entry} entry
   */
  cancel(entry) {
    if (!isOpen(entry)) return;
    entry.stop();
    this.set(entry, {status: "cancelled", problem: "", stop: () => {}});
    this.next();
  }

  /**
   * Classify a file that failed or was cancelled again.
   * @param {Entry} entry
   */
  retry(entry) {
    if (isOpen(entry)) return;
    this.set(entry, {status: "waiting", problem: "", sent: 0, answer: null});
    this.check(entry);
    this.next();
  }

  /**
   * Remove a file from the session.
   * @param {Entry} entry
   */
  remove(entry) {
    this.cancel(entry);
    this.entries = this.entries.filter((other) => other !== entry);
    this.dispatchEvent(new CustomEvent("remove", {detail: entry}));
  }

  /**
   * @param {File} file
   * @returns {Entry}
   */
  newEntry(file) {
    const id = this.nextId++;
    return {id, batch: this.batch, file, status: "waiting", sent: 0, answer: null, problem: "", stop: () => {}};
  }

  /**
   * Refuse a file that the server would refuse after it has been sent.
   * @param {Entry} entry
   */
  check(entry) {
    const {size} = entry.file;
    if (size > this.maxMegabytes * 1e6) {
      const problem = `${fileSize(size)} are more than the ${this.maxMegabytes} MB that this server accepts; ` +
        "send a shorter or compressed recording, for example flac or mp3";
      this.set(entry, {status: "failed", problem});
    } else if (size === 0) {
      this.set(entry, {status: "failed", problem: "the file is empty"});
    }
  }

  /** Start as many waiting files as may run at the same time. */
  next() {
    for (const entry of this.entries) {
      if (this.entries.filter((e) => e.status === "uploading" || e.status === "computing").length >= PARALLEL) return;
      if (entry.status === "waiting" && !entry.problem) void this.run(entry, 1);
    }
  }

  /**
   * Classify a file. An answer is kept only while this attempt is the latest of its file: `mine` says so.
   * @param {Entry} entry
   * @param {number} attempt
   */
  async run(entry, attempt) {
    const {answer, stop} = predict(entry.file, {spectrogram: true, topK: this.topK}, (share) => {
      if (entry.stop === mine) this.set(entry, {status: share < 1 ? "uploading" : "computing", sent: share});
    });
    const mine = () => stop();
    this.set(entry, {status: "uploading", sent: 0, problem: "", stop: mine});
    try {
      const result = await answer;
      if (entry.stop !== mine) return;
      this.set(entry, {status: "done", answer: result, sent: 1, stop: () => {}});
    } catch (error) {
      if (entry.stop !== mine) return;
      const problem = error instanceof RequestProblem ? error : new RequestProblem(String(error), 0);
      if ((problem.status === 503 || problem.status === 429) && problem.retryAfter > 0 && attempt < ATTEMPTS) {
        this.waitAndRun(entry, attempt + 1, problem);
      } else {
        this.set(entry, {status: "failed", problem: problem.message, stop: () => {}});
      }
    }
    this.next();
  }

  /**
   * Try again after the time that the server asks for.
   * @param {Entry} entry
   * @param {number} attempt
   * @param {RequestProblem} problem
   */
  waitAndRun(entry, attempt, problem) {
    const seconds = Math.min(LONGEST_WAIT, problem.retryAfter);
    const timer = setTimeout(() => void this.run(entry, attempt), 1000 * seconds);
    this.set(entry, {
      status: "waiting", sent: 0, problem: `the server is busy; next attempt in ${seconds} s`, stop: () => clearTimeout(timer),
    });
  }

  /**
   * @param {Entry} entry
   * @param {Partial<Entry>} values
   */
  set(entry, values) {
    Object.assign(entry, values);
    this.dispatchEvent(new CustomEvent("change", {detail: entry}));
  }
}

/**
 * Return whether a file waits or is being classified.
 * @param {Entry} entry
 */
export function isOpen(entry) {
  return entry.status === "waiting" || entry.status === "uploading" || entry.status === "computing";
}
