/** The files of the session: sends them one after the other, keeps each answer with its file, and loses none when one fails. */

import {addJob, predict, removeJob, RequestProblem} from "./api.js";
import {followJob, lengthOfHeader, rememberedJobs, rememberJobs, speciesOfJob} from "./jobs.js";
import {fileSize} from "./text.js";

/** @typedef {import("./types.js").Entry} Entry */

/** Requests at the same time: one is computed while the next is sent. */
const PARALLEL = 2;

/** Attempts of a file while the server says that it is busy (status 503 or 429). */
const ATTEMPTS = 20;

/** Kind of the problem of a recording that is too long for an answer at once. */
const TOO_LONG = "Recording too long";

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
    /** Longest recording that is answered at once, seconds. */
    this.maxSeconds = Infinity;
    /** Largest file of a job, MB; 0: the server takes no jobs. */
    this.jobMegabytes = 0;
    /** Number of species in the answer of each window; 0: all. */
    this.topK = 0;
    /** Number of species of the model. */
    this.species = 0;
    this.batch = 0;
    this.nextId = 1;
  }

  /** Whether a file waits or is being classified that would be lost with the page; jobs are not. */
  get busy() {
    return this.entries.some((entry) => isOpen(entry) && !entry.job);
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

  /** Show the jobs of this tab again after the page was loaded again. */
  restore() {
    const known = new Set(this.entries.map((entry) => entry.job));
    const jobs = rememberedJobs().filter(({id}) => !known.has(id));
    if (!jobs.length) return;
    this.batch += 1;
    const added = jobs.map(({id, name}) => ({...this.newEntry(new File([], name)), job: id, asJob: true, isRestored: true}));
    this.entries.push(...added);
    this.dispatchEvent(new CustomEvent("add", {detail: added}));
    for (const entry of added) void this.follow(entry, entry.job);
  }

  /**
   * Stop a file that waits or is being classified.
   * @param {Entry} entry
   */
  cancel(entry) {
    if (!isOpen(entry)) return;
    entry.stop();
    this.forgetJob(entry);
    this.set(entry, {status: "cancelled", problem: "", note: "", stop: () => {}});
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
    this.forgetJob(entry);
    this.entries = this.entries.filter((other) => other !== entry);
    this.dispatchEvent(new CustomEvent("remove", {detail: entry}));
  }

  /**
   * @param {File} file
   * @returns {Entry}
   */
  newEntry(file) {
    const id = this.nextId++;
    return {
      id, batch: this.batch, file, status: "waiting", sent: 0, answer: null, problem: "", stop: () => {}, asJob: false, job: "", note: "",
      isRestored: false,
    };
  }

  /**
   * Refuse a file that the server would refuse after it has been sent; a file that is too large for an answer at once becomes a job.
   * @param {Entry} entry
   */
  check(entry) {
    const {size} = entry.file, largest = Math.max(this.maxMegabytes, this.jobMegabytes);
    entry.asJob ||= size > this.maxMegabytes * 1e6;
    if (size > largest * 1e6) {
      const problem = `${fileSize(size)} are more than the ${largest} MB that this server accepts; ` +
        "send a shorter or compressed recording, for example flac or mp3";
      this.set(entry, {status: "failed", problem});
    } else if (size === 0) {
      this.set(entry, {status: "failed", problem: "the file is empty"});
    }
  }

  /** Start as many waiting files as may run at the same time. */
  next() {
    for (const entry of this.entries) {
      if (this.entries.filter((e) => (e.status === "uploading" || e.status === "computing") && !e.job).length >= PARALLEL) return;
      if (entry.status === "waiting" && !entry.problem) void this.run(entry, 1);
    }
  }

  /**
   * Classify a file. An answer is kept only while this attempt is the latest of its file: `mine` says so.
   * @param {Entry} entry
   * @param {number} attempt
   */
  async run(entry, attempt) {
    let stop = () => {};
    const mine = () => stop();
    this.set(entry, {status: "uploading", sent: 0, problem: "", stop: mine});
    try {
      const length = this.jobMegabytes ? await lengthOfHeader(entry.file).catch(() => 0) : 0;
      if (entry.stop !== mine) return;
      entry.asJob ||= length > this.maxSeconds;
      const onProgress = (/** @type {number} */ share) => {
        if (entry.stop === mine) this.set(entry, {status: share < 1 ? "uploading" : "computing", sent: share});
      };
      const request = entry.asJob
        ? addJob(entry.file, {topK: speciesOfJob(length, this.species, this.topK)}, onProgress)
        : predict(entry.file, {spectrogram: true, topK: this.topK}, onProgress);
      stop = request.stop;
      const result = await request.answer;
      if (entry.stop !== mine) {
        if (entry.asJob) removeJob(result.id); // cancelled while the answer was on its way
        return;
      }
      if (entry.asJob) void this.follow(entry, result.id);
      else this.set(entry, {status: "done", answer: result, sent: 1, stop: () => {}});
    } catch (error) {
      if (entry.stop !== mine) return;
      const problem = error instanceof RequestProblem ? error : new RequestProblem(String(error), 0);
      if (problem.status === 413 && problem.title === TOO_LONG && this.jobMegabytes && !entry.asJob) {
        entry.asJob = true;
        this.set(entry, {status: "waiting", sent: 0, stop: () => {}});
      } else if ((problem.status === 503 || problem.status === 429) && problem.retryAfter > 0 && attempt < ATTEMPTS) {
        this.waitAndRun(entry, attempt + 1, problem);
      } else {
        this.set(entry, {status: "failed", problem: problem.message, stop: () => {}});
      }
    }
    this.next();
  }

  /**
   * Show the progress of a job until its result is there. Until the page is closed or the file removed, the tab remembers it.
   * @param {Entry} entry
   * @param {string} id
   */
  async follow(entry, id) {
    const mine = () => {}; // `forgetJob` cancels it
    this.set(entry, {status: "computing", sent: null, job: id, note: "waiting", stop: mine});
    this.rememberJobs();
    try {
      const answer = await followJob(id, (share, note) => {
        if (entry.stop === mine) this.set(entry, {sent: share, note});
        return entry.stop === mine;
      });
      if (answer && entry.stop === mine) this.set(entry, {status: "done", answer, sent: 1, note: "", stop: () => {}});
    } catch (error) {
      if (entry.stop !== mine) return;
      this.forgetJob(entry);
      this.set(entry, {status: "failed", problem: error instanceof Error ? error.message : String(error), note: "", stop: () => {}});
    }
  }

  /**
   * Remove the job of an entry from the server and from the tab's memory.
   * @param {Entry} entry
   */
  forgetJob(entry) {
    if (!entry.job) return;
    removeJob(entry.job);
    entry.job = "";
    this.rememberJobs();
  }

  rememberJobs() {
    rememberJobs(this.entries.filter((entry) => entry.job).map(({job, file}) => ({id: job, name: file.name})));
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
