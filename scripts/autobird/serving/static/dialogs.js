/** What the server says about itself, one click each: model card, recent predictions, drift. */

import {getJson, RequestProblem} from "./api.js";
import {byId, element} from "./dom.js";
import {markdown} from "./markdown.js";
import {clock, score} from "./text.js";
import {pairs, tableOf, valueElement} from "./values.js";

/** Keys of the model's description that are shown above its card. */
const FIRST_KEYS = ["name", "variant", "fingerprint", "species", "attribution"];

/** Predictions on one page of the log. */
const PAGE = 25;

/** Texts for status 404 and for a server that does not keep what is asked for. */
const MISSING = {
  model: "This server does not describe its model.",
  predictions: "This server keeps no log of its predictions; it is started with --log FILE.",
  drift: "This server does not compare its recordings with the training data; it needs a log (--log FILE).",
};

/** Connect the buttons of the page's header. */
export function connectDialogs() {
  const dialog = byId("dialog");
  /** @param {string} title @param {() => Promise<(HTMLElement|string)[]>} content */
  const open = async (title, content) => {
    byId("dialog-title").textContent = title;
    byId("dialog-body").replaceChildren("Loading …");
    if (!dialog.open) dialog.showModal();
    byId("dialog-body").replaceChildren(...await content());
  };
  byId("show-model").addEventListener("click", () => open("Model", model));
  byId("show-predictions").addEventListener("click", () => open("Recent predictions", () => predictions(null)));
  byId("show-drift").addEventListener("click", () => open("Drift", drift));
  byId("dialog-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (/** @type {any} */ event) => event.target === dialog && dialog.close());
}

/**
 * Ask for a document; if there is none, return a sentence that says why.
 * @param {string} path
 * @param {string} missing
 * @param {(body: any) => (HTMLElement|string)[]} show
 */
async function load(path, missing, show) {
  try {
    return show(await getJson(path));
  } catch (error) {
    const problem = error instanceof RequestProblem ? error : null;
    const text = problem?.status === 404 ? missing : problem?.message ?? "The answer cannot be shown; load this page again.";
    return [element("p", {}, text)];
  }
}

function model() {
  return load("v1/model", MISSING.model, (body) => {
    const {card, metrics, ...rest} = body, keys = Object.keys(rest);
    const part = (/** @type {boolean} */ first) =>
      Object.fromEntries(keys.filter((key) => FIRST_KEYS.includes(key) === first).map((key) => [key, rest[key]]));
    const text = typeof card === "string" ? markdown(card.replace(/^\s*# .*/, ""), 2) : []; // the dialog has a title
    return [
      pairs(part(true)),
      ...text,
      ...section("Metrics", text.length ? null : metrics, valueElement), // the card has them as tables
      ...section("Details", part(false), valueElement),
    ];
  });
}

/**
 * @param {string} title
 * @param {any} value
 * @param {(value: any) => HTMLElement|string} show
 */
function section(title, value, show) {
  return value === undefined || value === null ? [] : [element("h3", {}, title), show(value)];
}

/**
 * @param {string|number|null} before identifier of the oldest prediction that is shown; null: the newest predictions
 * @returns {Promise<(HTMLElement|string)[]>}
 */
function predictions(before) {
  const query = new URLSearchParams({limit: String(PAGE), ...(before === null ? {} : {before: String(before)})});
  return load(`v1/predictions?${query}`, MISSING.predictions, (body) => {
    /** @type {Record<string, any>[]} */
    const rows = Array.isArray(body) ? body : body.predictions ?? body.rows ?? [];
    if (!rows.length) return [element("p", {}, before === null ? "No predictions yet." : "No older predictions.")];
    const next = Array.isArray(body) ? undefined : body.next ?? body.before;
    const last = next ?? (rows.length >= PAGE ? rows[rows.length - 1].id : undefined);
    const older = last === undefined || last === null ? null : element("button", {type: "button", click: async (/** @type {any} */ event) => {
      event.target.disabled = true;
      const more = await predictions(last);
      event.target.replaceWith(...more);
      (more.find((part) => part instanceof HTMLButtonElement) ?? byId("dialog-close")).focus();
    }}, "Older predictions");
    return [tableOf(rows.map(logRow)), ...(older ? [older] : [])];
  });
}

/**
 * Return what people want to know of an entry of the log.
 * @param {Record<string, any>} entry
 */
function logRow({time, species, probability, unknown_score: unknown, duration, detections, detection_count: count, role}) {
  return {
    time: typeof time === "number" ? new Date(1000 * time).toISOString() : time,
    length: typeof duration === "number" ? clock(duration) : null,
    "most probable": species ?? "all of it is quiet",
    probability: typeof probability === "number" ? score(probability) : null,
    "none of mine": typeof unknown === "number" ? score(unknown) : null,
    detections: count ?? detections?.length ?? null,
    ...(role === "shadow" ? {role} : {}),
  };
}

function drift() {
  return load("v1/drift", MISSING.drift, ({summary, features, bundle, recordings, needed, alarm_rate: rate}) => [
    ...(summary ? [element("p", {}, element("strong", {}, summary))] : []),
    ...(features?.length ? [tableOf(features.map(driftRow))] : []),
    pairs({recordings, "recordings needed": needed, "false-alarm rate": typeof rate === "number" ? `${100 * rate} %` : null, bundle}),
  ]);
}

/**
 * Return a feature of the drift test with its name for people and its unit.
 * @param {Record<string, any>} feature
 */
function driftRow({feature, title, unit, drift: differs, distance, p_value: p, median, reference_median: reference}) {
  return {
    feature: `${title ?? feature}${unit ? ` (${unit})` : ""}`,
    differs, "median now": median, "reference median": reference, distance, "p value": p,
  };
}
