/** Long recordings as jobs of the server: when one is needed, following it, and remembering it while this tab is open. */

import {getJson, isAnswer, RequestProblem} from "./api.js";

/** @typedef {import("./types.js").Answer} Answer */

/** Name of the list of jobs in the storage of this tab. */
const KEY = "autobird-jobs";

/** Time between two questions about a job, seconds. */
const INTERVAL = 2;

/** Questions in a row that may fail, for example while the server starts again. */
const FAILURES = 30;

/** Probabilities of windows that the answer of a job may have (`_MAX_VALUES` in compute/answer.py), with some reserve. */
const MAX_VALUES = 450_000;

/** Number of species in each window if the length is unknown: a day of windows that begin every second has room for them. */
const FEWEST_SPECIES = 5;

/**
 * Return the length of a wav or flac file according to its header.
 * @param {Blob} file
 * @returns {Promise<number>} seconds; 0 if it is unknown
 */
export async function lengthOfHeader(file) {
  const head = new DataView(await file.slice(0, 64).arrayBuffer());
  if (head.byteLength < 44) return 0;
  const name = head.getUint32(0);
  if (name === 0x52494646 && head.getUint32(12) === 0x666d7420) return file.size / (head.getUint32(28, true) || Infinity); // RIFF, "fmt " first
  if (name !== 0x664c6143) return 0; // fLaC: 20 bits with the rate, 3 and 5 bits, 36 bits with the number of samples
  const samples = (head.getUint8(21) & 15) * 2 ** 32 + head.getUint32(22);
  return samples / (head.getUint32(18) >>> 12 || Infinity);
}

/**
 * Return the number of species that the answer of a job can have in each window.
 * @param {number} length seconds; 0 if it is unknown
 * @param {number} species number of species of the model
 * @param {number} wanted 0: all
 * @returns {number} 0: all
 */
export function speciesOfJob(length, species, wanted) {
  const most = length ? Math.max(FEWEST_SPECIES, Math.floor(MAX_VALUES / length)) : FEWEST_SPECIES;
  return (wanted || species) <= most ? wanted : most;
}

/**
 * Wait until a job has ended.
 * @param {string} id
 * @param {(share: number|null, note: string) => boolean} onProgress share that is done, null if it is unknown; returns whether to go on
 * @returns {Promise<Answer|null>} null: `onProgress` did not want to go on; the promise is rejected with a `RequestProblem`
 */
export async function followJob(id, onProgress) {
  for (let failures = 0; ; await new Promise((resolve) => setTimeout(resolve, 1000 * INTERVAL))) {
    try {
      const job = await getJson(`v1/jobs/${id}`);
      if (job.state === "failed") throw new RequestProblem(job.problem?.detail ?? "the job failed", job.problem?.status ?? 422);
      if (job.state === "done") {
        const answer = await getJson(`v1/jobs/${id}/result?format=json`);
        if (!isAnswer(answer)) throw new RequestProblem("the result of the job cannot be shown; remove it, and add the file again", 422);
        return answer;
      }
      failures = 0;
      if (!onProgress(job.progress, noteOf(job))) return null;
    } catch (error) {
      const problem = error instanceof RequestProblem ? error : new RequestProblem(String(error), 422);
      const isPassing = [0, 429, 502, 503, 504].includes(problem.status);
      failures += 1;
      if (!isPassing || failures > FAILURES) throw problem;
      if (!onProgress(null, "the server does not answer; trying again")) return null;
    }
  }
}

/** @param {any} job */
function noteOf({state, progress, position}) {
  if (state === "queued") return position ? `waiting for ${position} other ${position === 1 ? "job" : "jobs"}` : "waiting";
  return typeof progress === "number" ? `classifying, ${Math.floor(100 * progress)} %` : "classifying";
}

/**
 * Return the jobs that this tab has started.
 * @returns {{id: string, name: string}[]}
 */
export function rememberedJobs() {
  try {
    const found = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter(({id, name}) => typeof id === "string" && typeof name === "string") : [];
  } catch {
    return [];
  }
}

/** @param {{id: string, name: string}[]} jobs */
export function rememberJobs(jobs) {
  sessionStorage.setItem(KEY, JSON.stringify(jobs));
}
