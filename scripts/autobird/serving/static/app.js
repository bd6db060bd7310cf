/** Start of the page: connects its parts and asks the server what it is. */

import {apiKey, getJson, useApiKey} from "./api.js";
import {connectPicture, connectSound, connectThreshold} from "./controls.js";
import {connectDialogs} from "./dialogs.js";
import {byId} from "./dom.js";
import {csvTable, ravenTable, save} from "./exports.js";
import {FileTable} from "./filetable.js";
import {connectIntake} from "./intake.js";
import {Options} from "./options.js";
import {Queue} from "./queue.js";
import {Result} from "./result.js";

/** @typedef {import("./types.js").Entry} Entry */

/** Species of a model up to which the answers hold all probabilities; of larger models, the most probable ones of each window. */
const ALL_SPECIES = 200, TOP_SPECIES = 30;

const options = new Options(), queue = new Queue(), result = new Result(options);
const files = new FileTable(queue, options, (entry) => {
  show(entry);
  byId("title").focus();
});

/** Batch from which no result was shown yet: its first result is shown by itself, unless the user chooses another one before. */
let awaited = 0;

/** @param {Entry|null} entry */
function show(entry) {
  awaited = 0;
  result.show(entry);
  files.mark(entry);
}

queue.addEventListener("add", () => {
  awaited = queue.batch;
});
queue.addEventListener("change", (event) => {
  const entry = /** @type {CustomEvent<Entry>} */ (event).detail;
  const names = entry.answer?.common_names ?? {};
  if (Object.keys(names).some((species) => options.commonNames[species] !== names[species])) {
    options.set({commonNames: {...options.commonNames, ...names}});
  }
  if (entry.status === "done" && (entry.batch === awaited || result.entry === entry)) show(entry);
});
queue.addEventListener("remove", (event) => {
  if (/** @type {CustomEvent<Entry>} */ (event).detail === result.entry) show(null);
});
window.addEventListener("beforeunload", (event) => queue.busy && event.preventDefault());

/** The recordings that are classified, for tables of all of them. */
function recordings() {
  return queue.entries.flatMap(({file, answer}) =>
    answer ? [{file: file.name, duration: answer.duration, detections: options.detections(answer), place: answer.recording}] : []);
}
byId("save-all-csv").addEventListener("click", () => save("detections.csv", csvTable(recordings())));
byId("save-all-raven").addEventListener("click", () => save("detections.raven.txt", ravenTable(recordings(), options.band)));

connectIntake(queue);
connectThreshold(options);
connectSound(result.player);
connectPicture(result.plot, result.view, result.player);
connectDialogs();
byId("here").textContent = location.origin;

/** @param {any} model answer of `/v1/model` */
function describeModel(model) {
  const count = typeof model.species === "number" ? model.species : model.species?.length ?? 0;
  const backbone = model.backbone ? `, with the network ${model.backbone.name} (${model.backbone.licence})` : "";
  byId("model").textContent = `model "${model.name}" (${count} species)${backbone}`;
  if (model.limits) {
    const {megabytes, seconds, jobs} = model.limits;
    queue.maxMegabytes = megabytes;
    queue.maxSeconds = seconds;
    queue.jobMegabytes = jobs?.megabytes ?? 0;
    byId("stored-jobs").hidden = !jobs;
    byId("limits").textContent = jobs
      ? `; above ${megabytes} MB or ${seconds} seconds, up to ${jobs.megabytes} MB, in the background`
      : `; at most ${megabytes} MB and ${seconds} seconds each`;
  }
  if (model.formats) {
    byId("formats").textContent = model.formats.join(", ");
    byId("file").accept = ["audio/*", ...model.formats.map((/** @type {string} */ name) => `.${name}`)].join(",");
  }
  queue.species = count;
  queue.topK = count > ALL_SPECIES ? TOP_SPECIES : 0;
  if (model.features) options.band = {low: model.features.fmin, high: model.features.fmax};
}

/** @param {any} species answer of `/v1/species` */
function describeSpecies(species) {
  const thresholds = Object.fromEntries(species.map((/** @type {any} */ s) => [s.species, s.threshold]));
  const named = species.filter((/** @type {any} */ s) => s.common_name);
  const commonNames = Object.fromEntries(named.map((/** @type {any} */ s) => [s.species, s.common_name]));
  options.set({thresholds, commonNames: {...options.commonNames, ...commonNames}});
}

/** @param {any} document answer of `/openapi.json`: which paths this server has */
function describeLinks(document) {
  const paths = Object.keys(document.paths ?? {});
  byId("review").hidden = !paths.some((path) => /^(\/v1)?\/review/.test(path));
}

/** Ask the server what it is. The page works without these descriptions; if the server needs an API key, the page asks for it. */
async function describe() {
  /** @type {[string, (body: any) => void][]} */
  const parts = [["v1/model", describeModel], ["v1/species", describeSpecies], ["openapi.json", describeLinks]];
  const results = await Promise.allSettled(parts.map(([path, use]) => getJson(path).then(use)));
  const refused = results.find((r) => r.status === "rejected" && r.reason.status === 401);
  byId("key-form").hidden = !refused;
  if (refused && apiKey()) byId("key-state").textContent = "The server does not know this key.";
  if (!refused) queue.restore();
  return !refused;
}
byId("key-form").addEventListener("submit", async (/** @type {Event} */ event) => {
  event.preventDefault();
  useApiKey(byId("key").value.trim());
  if (await describe()) byId("file").focus();
});
void describe();
