/** Requests of the review screen. */

import {apiKey, RequestProblem} from "./api.js";

/** @typedef {"yes"|"no"|"other"|"unsure"|"skip"} Decision */
/**
 * @typedef {object} Item an item of the queue
 * @property {string} id
 * @property {number} number place in the queue, from 1
 * @property {string} file
 * @property {number} duration length of the recording, seconds
 * @property {number} start of the window, seconds
 * @property {number} end
 * @property {string} species
 * @property {number} probability
 * @property {number|null} threshold
 * @property {string} stratum
 * @property {number|null} unknown_score
 * @property {number|null} similarity
 * @property {string} site
 * @property {string} recorded_at
 * @property {{species: string, probability: number}[]} others
 * @property {Decision|null} decision the reviewer's own
 * @property {string} other_species
 */
/**
 * @typedef {object} Progress
 * @property {number} items
 * @property {number} decided
 * @property {number} decided_by_anyone
 * @property {Record<string, number>} by_decision
 * @property {{stratum: string, decided: number, items: number}[]} by_stratum
 * @property {{reviewer: string, decisions: number}[]} reviewers
 * @property {number} disagree
 */

/**
 * Send a request and return its response.
 * @param {string} path
 * @param {object} [body] is sent as JSON with POST
 * @returns {Promise<Response>} rejected with a `RequestProblem`
 */
export async function ask(path, body) {
  const key = apiKey(), headers = {Accept: "*/*", ...(key ? {Authorization: `Bearer ${key}`} : {})};
  /** @type {RequestInit} */
  const options = body === undefined ? {headers}
    : {method: "POST", headers: {...headers, "Content-Type": "application/json"}, body: JSON.stringify(body)};
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new RequestProblem("the server cannot be reached; check that it runs, and try again", 0);
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => null);
  throw new RequestProblem(problem?.detail ?? `HTTP status ${response.status} ${response.statusText}`.trim(), response.status);
}

/**
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<any>}
 */
export async function askJson(path, body) {
  return (await ask(path, body)).json();
}

/** The requests about one queue. */
export class ReviewApi {
  constructor() {
    /** Parameters of the queue. */
    this.query = new URLSearchParams();
    this.reviewer = "";
  }

  /**
   * @param {Record<string, string>} [more]
   */
  with(more = {}) {
    const query = new URLSearchParams(this.query);
    for (const [name, value] of Object.entries(more)) query.set(name, value);
    return query;
  }

  /**
   * @param {number} limit
   * @returns {Promise<{items: Item[], progress: Progress}>}
   */
  next(limit) {
    return askJson(`v1/review/queue?${this.with({reviewer: this.reviewer, limit: String(limit)})}`);
  }

  /**
   * @param {Item} item
   * @param {number} context seconds
   * @returns {Promise<Blob>}
   */
  async clip(item, context) {
    return (await ask(`v1/review/items/${item.id}/audio?${this.with({context: String(context)})}`)).blob();
  }

  /**
   * @param {Item} item
   * @param {Decision} decision
   * @param {string} other
   * @returns {Promise<{progress: Progress}>}
   */
  decide(item, decision, other) {
    const body = {reviewer: this.reviewer, decision, ...(other ? {other_species: other} : {})};
    return askJson(`v1/review/items/${item.id}/decision?${this.query}`, body);
  }

  /** @returns {Promise<{undone: {species: string, decision: Decision}|null, item: Item|null, progress: Progress}>} */
  undo() {
    return askJson(`v1/review/undo?${this.query}`, {reviewer: this.reviewer});
  }

  /**
   * @param {Record<string, string>} wanted
   * @returns {Promise<any>}
   */
  summary(wanted) {
    return askJson(`v1/review/summary?${this.with(wanted)}`);
  }

  /**
   * @param {number} precision
   * @param {boolean} lower
   * @returns {Promise<any>}
   */
  apply(precision, lower) {
    return askJson(`v1/review/apply-precision?${this.query}`, {precision, by_lower_bound: lower});
  }
}
