/** Start of the review screen: shows one item after the other, and stores the decisions. */

import {apiKey, RequestProblem, useApiKey} from "./api.js";
import {announce, byId, element} from "./dom.js";
import {nameElement, nameText} from "./names.js";
import {ask, askJson, ReviewApi} from "./review-api.js";
import {Chooser} from "./review-chooser.js";
import {ClipView} from "./review-clip.js";
import {QueueForm} from "./review-queue.js";
import {SummaryPanel} from "./review-summary.js";
import {Trail} from "./review-trail.js";
import {clock, counted, score} from "./text.js";

/** @typedef {import("./review-api.js").Decision} Decision */
/** @typedef {import("./review-api.js").Item} Item */

/** Name of the reviewer, and options of the screen, in the storage of the browser. */
const NAME = "autobird-reviewer", OPTIONS = "autobird-review-options";

/** Options that are kept, by the id of their control. */
const KEPT = ["speed", "gain", "context", "autoplay", "letters", "highest", "colours", "contrast"];

/** @type {Record<Decision, string>} */
const WORDS = {yes: "yes", no: "no", other: "other species", unsure: "unsure", skip: "skipped"};

/** Number of clips that are loaded before they are shown. */
const AHEAD = 3;

const api = new ReviewApi(), trail = new Trail(api), clip = new ClipView(api), chooser = new Chooser(), summary = new SummaryPanel(api);
const form = new QueueForm(() => begin());
/** @type {Record<string, string>} */
const commonNames = {};
let busy = false;

/** @param {unknown} problem null: none */
function showProblem(problem) {
  byId("problem").hidden = !problem;
  byId("problem").textContent = problem ? /** @type {Error} */ (problem).message : "";
  if (problem instanceof RequestProblem && problem.status === 401) byId("key-form").hidden = false;
}

/**
 * Do something that needs the server; keys have no effect until it is done.
 * @param {() => Promise<void>} action
 */
async function work(action) {
  if (busy) return;
  busy = true;
  byId("work").classList.add("busy");
  try {
    await action();
    showProblem(null);
  } catch (problem) {
    showProblem(problem);
  } finally {
    busy = false;
    byId("work").classList.remove("busy");
  }
}

/** Begin the queue of the form. */
function begin() {
  return work(async () => {
    api.query = form.query();
    await trail.open();
    show();
    if (summary.isOpen) void summary.refresh();
  });
}

/** Show the present item. */
function show() {
  const {item, progress} = trail;
  byId("item").hidden = !item;
  byId("done").hidden = Boolean(item);
  byId("previous").disabled = trail.at <= 0;
  void clip.show(item);
  if (!item) {
    const none = progress?.items === 0;
    byId("done-title").textContent = none ? "No candidate passes this filter" : "All items of this queue are decided";
    byId("done-text").textContent = none ? "Choose another species, site, hours or probability above."
      : "Choose a larger number of items or another queue above, or look at what the decisions say below.";
    byId("undo-done").hidden = none;
    byId("done-title").focus();
    return;
  }
  // Read aloud as the focus comes to it.
  byId("question").replaceChildren("Is ", nameElement(item.species, commonNames), " heard in the marked window?");
  byId("facts").replaceChildren(...factsOf(item).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  for (const button of document.querySelectorAll("[data-decision]")) {
    button.setAttribute("aria-pressed", String(button.getAttribute("data-decision") === item.decision));
  }
  byId("question").focus({preventScroll: true});
  for (const next of trail.coming.slice(0, AHEAD)) void clip.load(next).catch(() => undefined);
}

/**
 * @param {Item} item
 * @returns {[string, string][]}
 */
function factsOf(item) {
  /** @type {[string, string][]} */
  const facts = [["probability", `${score(item.probability)}${item.threshold === null ? "" : ` (threshold ${score(item.threshold)})`}`],
    ["recording", item.file], ["at", `${clock(item.start)} to ${clock(item.end)}`]];
  if (item.recorded_at) facts.push(["time", item.recorded_at.replace("T", " ").slice(0, 16)]);
  if (item.site) facts.push(["site", item.site]);
  if (item.unknown_score !== null) facts.push(["none of mine", score(item.unknown_score)]);
  if (item.similarity !== null) facts.push(["similarity", score(item.similarity)]);
  if (item.decision) facts.push(["your decision", item.decision === "other" ? nameText(item.other_species, commonNames) : WORDS[item.decision]]);
  return facts;
}

/** @param {Decision} decision */
async function decide(decision) {
  const {item} = trail;
  if (!item || busy) return;
  const other = decision === "other" ? await chooser.open(item) : "";
  if (decision === "other" && !other) return byId("question").focus();
  await work(async () => {
    await trail.decide(decision, other);
    const text = `${nameText(item.species, commonNames)}: ${decision === "other" ? nameText(other, commonNames) : WORDS[decision]}`;
    byId("last").textContent = `Stored: ${text}`;
    announce(`Stored: ${text}`);
    show();
    summary.later();
  });
}

function undo() {
  return work(async () => {
    const undone = await trail.undo();
    const text = undone ? `Taken back: ${nameText(undone.species, commonNames)}: ${WORDS[undone.decision]}` : "There is nothing to undo";
    byId("last").textContent = text;
    announce(text);
    if (undone) show();
    summary.later();
  });
}

/** @param {1|-1} step */
function move(step) {
  return work(async () => {
    if (step > 0) await trail.forward();
    else trail.back();
    show();
  });
}

function drawProgress() {
  const {progress} = trail;
  if (!progress) return;
  byId("bar").max = Math.max(1, progress.items);
  byId("bar").value = progress.decided;
  const counts = Object.entries(WORDS).filter(([name]) => progress.by_decision[name]).map(([name, word]) => `${progress.by_decision[name]} ${word}`);
  let text = `${progress.decided} of ${progress.items} decided${counts.length ? ` (${counts.join(", ")})` : ""}`;
  const others = progress.reviewers.filter((r) => r.reviewer !== api.reviewer);
  if (others.length) text += `; others: ${others.map((r) => `${r.reviewer} ${r.decisions}`).join(", ")}`;
  if (progress.disagree) text += `; reviewers disagree about ${counted(progress.disagree, "item")}`;
  byId("progress").textContent = text;
}

/** @param {KeyboardEvent} event */
function key(event) {
  const target = /** @type {Element} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || byId("work").hidden) return;
  if (target.closest("input:not([type=checkbox], [type=range]), select, textarea")) return;
  const isControl = Boolean(target.closest("button, a, summary, input"));
  /** @type {Record<string, () => unknown>} */
  const letters = {
    y: () => decide("yes"), n: () => decide("no"), o: () => decide("other"), u: () => decide("unsure"), s: () => decide("skip"),
    z: () => undo(), l: () => clip.setRepeat(!clip.repeat), "?": () => byId("help").showModal(),
  };
  let action = byId("letters").checked ? letters[event.key.toLowerCase()] : undefined;
  if (event.key === " " && !isControl) action = () => clip.toggle();
  if (!target.closest("#plot, input[type=range]")) {
    if (event.key === "ArrowLeft") action = () => move(-1);
    if (event.key === "ArrowRight") action = () => move(1);
  }
  if (!action || event.repeat) return;
  event.preventDefault();
  action();
}

function connect() {
  document.addEventListener("keydown", key);
  for (const button of document.querySelectorAll("[data-decision]")) {
    button.addEventListener("click", () => decide(/** @type {Decision} */ (button.getAttribute("data-decision"))));
  }
  byId("undo").addEventListener("click", undo);
  byId("undo-done").addEventListener("click", undo);
  byId("previous").addEventListener("click", () => move(-1));
  byId("next").addEventListener("click", () => move(1));
  trail.addEventListener("progress", drawProgress);
  byId("speed").addEventListener("change", () => clip.player.setSpeed(Number(byId("speed").value)));
  byId("gain").addEventListener("input", () => {
    clip.player.setGain(Number(byId("gain").value));
    byId("gain-value").textContent = `+${byId("gain").value} dB`;
  });
  byId("context").addEventListener("change", () => clip.setContext(Number(byId("context").value)));
  byId("autoplay").addEventListener("change", () => {
    clip.autoplay = byId("autoplay").checked;
  });
  for (const id of KEPT) byId(id).addEventListener("change", keepOptions);
  byId("show-help").addEventListener("click", () => byId("help").showModal());
  byId("help-close").addEventListener("click", () => byId("help").close());
  byId("download").addEventListener("click", download);
  byId("change-name").addEventListener("click", () => askName());
  byId("name-form").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    localStorage.setItem(NAME, byId("name").value.trim());
    history.replaceState(null, "", location.pathname); // the address may have an earlier name
    void start();
  });
  byId("key-form").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    useApiKey(byId("key").value.trim());
    void start();
  });
}

function keepOptions() {
  const values = KEPT.map((id) => [id, byId(id).type === "checkbox" ? byId(id).checked : byId(id).value]);
  localStorage.setItem(OPTIONS, JSON.stringify(Object.fromEntries(values)));
}

/** Set the controls as they were at the last visit. */
function restoreOptions() {
  /** @type {Record<string, any>} */
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(OPTIONS) ?? "{}");
  } catch {
    return; // not from this version
  }
  for (const id of KEPT) {
    if (!(id in kept)) continue;
    byId(id)[byId(id).type === "checkbox" ? "checked" : "value"] = kept[id];
    byId(id).dispatchEvent(new Event(["gain", "contrast"].includes(id) ? "input" : "change"));
  }
}

async function download() {
  try {
    const blob = await (await ask("v1/review/decisions")).blob(), url = URL.createObjectURL(blob);
    element("a", {href: url, download: "reviews.csv"}).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (problem) {
    showProblem(problem);
  }
}

function askName() {
  void clip.show(null);
  byId("work").hidden = true;
  byId("name-form").hidden = false;
  byId("name").value = localStorage.getItem(NAME) ?? "";
  byId("name").focus();
}

/** Ask the server about the review, and begin its queue if the name of the reviewer is known. */
async function start() {
  let about;
  try {
    about = await askJson("v1/review");
  } catch (problem) {
    const isKey = problem instanceof RequestProblem && problem.status === 401;
    byId("key-form").hidden = !isKey;
    byId("key-state").textContent = isKey && apiKey() ? "The server does not know this key." : "It is kept until this tab is closed.";
    byId("about").textContent = isKey ? "" : /** @type {Error} */ (problem).message;
    return askName();
  }
  byId("key-form").hidden = true;
  for (const s of about.species) if (s.common_name) commonNames[s.species] = s.common_name;
  summary.commonNames = chooser.commonNames = commonNames;
  chooser.labels = about.species.map((/** @type {any} */ s) => s.species);
  byId("about").textContent = `Model “${about.model.name}”: ${about.candidates} possible detections in ${counted(about.recordings, "recording")}`
    + ` (${(about.seconds / 3600).toFixed(1)} hours)${about.skipped ? `; ${about.skipped} could not be read` : ""}.`;
  if (!form.about) form.fill(about, commonNames);
  api.reviewer = localStorage.getItem(NAME)?.trim() ?? "";
  if (!api.reviewer) return askName();
  byId("name-form").hidden = true;
  byId("work").hidden = false;
  byId("who").textContent = api.reviewer;
  await begin();
}

const named = new URLSearchParams(location.search).get("reviewer")?.trim();
if (named) localStorage.setItem(NAME, named.slice(0, 80));
connect();
restoreOptions();
void start();
