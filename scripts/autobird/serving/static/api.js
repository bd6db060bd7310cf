/** Requests to the server, with errors whose messages can be shown to people. */

/** @typedef {import("./types.js").Answer} Answer */

/** Name of the API key in the storage of this tab. */
const KEY = "autobird-api-key";

/** Return the API key that the user has given in this tab, "" if there is none. */
export function apiKey() {
  return sessionStorage.getItem(KEY) ?? "";
}

/** @param {string} key API key for all requests of this tab */
export function useApiKey(key) {
  sessionStorage.setItem(KEY, key);
}

const INTERRUPTED =
  "the upload was interrupted; check the connection to the server and that the file still exists, and try again";

/** A request that was refused or failed. */
export class RequestProblem extends Error {
  /**
   * @param {string} message
   * @param {number} status HTTP status; 0 if there was no answer
   * @param {number} retryAfter seconds after which the server asks for another attempt; 0 if it does not
   * @param {string} title kind of the problem, as /docs lists them; "" if it is not from the server
   */
  constructor(message, status, retryAfter = 0, title = "") {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
    this.title = title;
  }
}

/**
 * Send a recording for classification.
 * @param {File} file
 * @param {{spectrogram: boolean, topK: number}} options topK: number of species in each window; 0: all
 * @param {(share: number) => void} onProgress share of the file that has been sent, 0 to 1
 * @returns {{answer: Promise<Answer>, stop: () => void}} the promise is rejected with a `RequestProblem`
 */
export function predict(file, options, onProgress) {
  const query = new URLSearchParams({spectrogram: options.spectrogram ? "1" : "0", top_k: String(options.topK), name: file.name});
  return send(`v1/predict?${query}`, file, onProgress, isAnswer);
}

/**
 * Send a long recording, which the server classifies in the background.
 * @param {File} file
 * @param {{topK: number}} options
 * @param {(share: number) => void} onProgress
 * @returns {{answer: Promise<any>, stop: () => void}} the state of the job; see `predict`
 */
export function addJob(file, options, onProgress) {
  const query = new URLSearchParams({windows: "1", top_k: String(options.topK), name: file.name});
  return send(`v1/jobs?${query}`, file, onProgress, (body) => typeof body.id === "string");
}

/**
 * Cancel a job, or remove its result. If the server cannot be reached, it removes the job after some days.
 * @param {string} id
 */
export function removeJob(id) {
  const key = apiKey();
  fetch(`v1/jobs/${id}`, {method: "DELETE", headers: key ? {Authorization: `Bearer ${key}`} : {}}).catch(() => {});
}

/**
 * Return whether a document is the answer for a recording.
 * @param {any} body
 */
export function isAnswer(body) {
  return Array.isArray(body.windows) && Array.isArray(body.detections);
}

/**
 * @param {string} path
 * @param {File} file
 * @param {(share: number) => void} onProgress
 * @param {(body: any) => boolean} isExpected
 * @returns {{answer: Promise<any>, stop: () => void}}
 */
function send(path, file, onProgress, isExpected) {
  const request = new XMLHttpRequest();
  request.open("POST", path);
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.setRequestHeader("Accept", "application/json");
  if (apiKey()) request.setRequestHeader("Authorization", `Bearer ${apiKey()}`);
  request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / Math.max(1, event.total));
  request.upload.onload = () => onProgress(1);
  /** @type {Promise<any>} */
  const answer = new Promise((resolve, reject) => {
    request.onerror = () => reject(new RequestProblem(INTERRUPTED, 0));
    request.onabort = () => reject(new RequestProblem("cancelled", 0));
    request.onload = () => {
      try {
        resolve(bodyOf(request, isExpected));
      } catch (problem) {
        reject(problem);
      }
    };
    request.send(file);
  });
  return {answer, stop: () => request.abort()};
}

/**
 * @param {XMLHttpRequest} request
 * @param {(body: any) => boolean} isExpected
 */
function bodyOf(request, isExpected) {
  const body = parsed(request.responseText), status = request.status;
  const words = `HTTP status ${status} ${request.statusText}`.trim();
  if (status < 200 || status > 299) {
    const after = Number(request.getResponseHeader("Retry-After")) || 0;
    if (body && typeof body.detail === "string") throw new RequestProblem(body.detail, status, after, body.title);
    const remedy = status === 413 ? "it does not accept a file of this size" : "try again later";
    throw new RequestProblem(
      `${words}; the answer is not from Autobird but perhaps from a proxy in front of it; ${remedy}`, status, after);
  }
  if (!body || !isExpected(body)) {
    throw new RequestProblem(
      `the answer is not a result of Autobird (${words}); perhaps a proxy in front of it requires a login; load this page again`,
      status);
  }
  return body;
}

/**
 * @param {string} text
 * @returns {any} the value; null if the text is not JSON
 */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * Read a JSON document of the server.
 * @param {string} path
 * @returns {Promise<any>} the promise is rejected with a `RequestProblem`; status 404: this server does not have the path
 */
export async function getJson(path) {
  let response;
  try {
    const key = apiKey();
    response = await fetch(path, {headers: {Accept: "application/json", ...(key ? {Authorization: `Bearer ${key}`} : {})}});
  } catch {
    throw new RequestProblem("the server cannot be reached; check the connection and try again", 0);
  }
  const body = parsed(await response.text());
  if (!response.ok) {
    throw new RequestProblem(body?.detail ?? `HTTP status ${response.status} ${response.statusText}`.trim(), response.status);
  }
  if (body === null) throw new RequestProblem(`the answer to ${path} is not from Autobird; load this page again`, response.status);
  return body;
}
