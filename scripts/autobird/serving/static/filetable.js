/** The table of the session's files: progress, result and problems of each. */

import {announce, byId, element} from "./dom.js";
import {isOpen} from "./queue.js";
import {bestSpecies, summary, warningsOf} from "./summaries.js";
import {clock, counted, fileSize, score} from "./text.js";

/** @typedef {import("./types.js").Entry} Entry */

/** Score from which sound hardly resembles the model's species (docs/evaluation.md). */
const UNLIKE = 0.95;

/** The table. */
export class FileTable {
  /**
   * @param {import("./queue.js").Queue} queue
   * @param {import("./options.js").Options} options
   * @param {(entry: Entry) => void} onShow
   */
  constructor(queue, options, onShow) {
    this.queue = queue;
    this.options = options;
    this.onShow = onShow;
    /** @type {Entry|null} */
    this.shown = null;
    /** @type {Map<Entry, {row: HTMLTableRowElement, key: string}>} */
    this.rows = new Map();
    queue.addEventListener("add", (event) => this.add(/** @type {CustomEvent<Entry[]>} */ (event).detail));
    queue.addEventListener("change", (event) => this.update(/** @type {CustomEvent<Entry>} */ (event).detail));
    queue.addEventListener("remove", (event) => this.remove(/** @type {CustomEvent<Entry>} */ (event).detail));
    options.addEventListener("change", () => this.refresh());
    byId("cancel-all").addEventListener("click", () => queue.entries.filter(isOpen).forEach((entry) => queue.cancel(entry)));
  }

  /** @param {Entry[]} entries */
  add(entries) {
    for (const entry of entries) {
      const row = element("tr", {"data-id": entry.id});
      this.rows.set(entry, {row, key: ""});
      byId("files").append(row);
      this.draw(entry);
    }
    this.count();
  }

  /** @param {Entry} entry */
  remove(entry) {
    const row = this.rows.get(entry)?.row, next = row?.nextElementSibling ?? row?.previousElementSibling;
    row?.remove();
    this.rows.delete(entry);
    const focus = next?.querySelector("button") ?? byId("file");
    focus.focus();
    announce(`${entry.file.name} removed`);
    this.count();
  }

  /** @param {Entry} entry */
  update(entry) {
    if (!this.rows.has(entry)) return;
    this.draw(entry);
    this.count();
    if (entry.status === "failed") announce(`${entry.file.name} failed: ${entry.problem}`);
    if (entry.status === "cancelled") announce(`${entry.file.name} cancelled`);
    if (entry.status === "done" && entry.answer) {
      announce(`${entry.file.name}: ${bestSpecies(entry.answer, this.options.commonNames)}, ` +
        summary(this.options.detections(entry.answer)));
    }
  }

  /** Draw all rows again: thresholds or names have changed. */
  refresh() {
    for (const [entry, kept] of this.rows) {
      kept.key = "";
      this.draw(entry);
    }
  }

  /** @param {Entry|null} entry the one whose result is shown */
  mark(entry) {
    this.shown = entry;
    for (const [other, {row}] of this.rows) {
      row.classList.toggle("shown", other === entry);
      row.querySelector(".open")?.setAttribute("aria-pressed", String(other === entry));
    }
  }

  /** @param {Entry} entry */
  draw(entry) {
    const kept = this.rows.get(entry);
    if (!kept) return;
    const bar = kept.row.querySelector("progress"), key = `${entry.status}:${entry.problem}:${entry.job}`;
    if (kept.key === key && bar) {
      if (entry.sent === null) bar.removeAttribute("value");
      else bar.value = entry.sent;
      if (entry.note) bar.previousElementSibling.textContent = entry.note;
      return;
    }
    kept.key = key;
    const hadFocus = kept.row.contains(document.activeElement);
    kept.row.replaceChildren(...this.cells(entry));
    if (hadFocus) kept.row.querySelector("button")?.focus();
    this.mark(this.shown);
  }

  /** @param {Entry} entry */
  cells(entry) {
    const {answer} = entry, {options, queue} = this, {name, size} = entry.file;
    const cell = (/** @type {any} */ content, kind = "") =>
      element("td", {class: kind}, ...(Array.isArray(content) ? content : content ? [content] : []));
    const title = answer
      ? element("button", {type: "button", class: "plain open", click: () => this.onShow(entry)}, name)
      : element("span", {}, name);
    const buttons = isOpen(entry)
      ? [this.button("Cancel", name, () => queue.cancel(entry))]
      : [entry.status === "done" || entry.isRestored ? null : this.button("Try again", name, () => queue.retry(entry)),
        this.button("Remove", name, () => queue.remove(entry))];
    const unknown = answer?.unknown_score, isUnlike = typeof unknown === "number" && unknown >= UNLIKE;
    return [
      element("th", {scope: "row"}, title),
      cell(this.status(entry), entry.status === "done" && !warningsOf(entry).length ? "status plain-done" : "status"),
      cell(answer ? clock(answer.duration) : entry.isRestored ? "" : fileSize(size), "number length"),
      cell(answer ? bestSpecies(answer, options.commonNames) : "", "best"),
      cell(answer ? summary(options.detections(answer)) : "", "found"),
      cell(answer ? [score(unknown), isUnlike ? element("small", {class: "mark"}, "unlike") : null] : "", "number unknown"),
      cell(buttons, "actions"),
    ];
  }

  /** @param {Entry} entry */
  status(entry) {
    const warnings = warningsOf(entry), words = {
      waiting: entry.problem || "waiting", uploading: "sending", computing: "classifying", done: "done", failed: "failed",
      cancelled: "cancelled",
    }[entry.status];
    if (entry.status === "uploading" || entry.status === "computing") {
      const isKnown = entry.status === "uploading" || entry.job;
      const bar = element("progress", {value: isKnown ? entry.sent : null, max: 1, "aria-label": `${entry.file.name}: ${words}`});
      return [element("span", {}, entry.note || words), bar];
    }
    if (entry.status === "failed") return [element("strong", {class: "error"}, "failed"), element("div", {class: "problem"}, entry.problem)];
    return [words, ...warnings.map((text) => element("div", {class: "warning"}, text))];
  }

  /**
   * @param {string} words
   * @param {string} name
   * @param {() => void} act
   */
  button(words, name, act) {
    return element("button", {type: "button", "aria-label": `${words}: ${name}`, click: act}, words);
  }

  count() {
    const {entries} = this.queue, open = entries.filter(isOpen).length, failed = entries.filter((e) => e.status === "failed").length;
    byId("session").hidden = entries.length === 0;
    byId("cancel-all").hidden = open === 0;
    const done = entries.filter((e) => e.status === "done").length;
    const words = [`${done} of ${counted(entries.length, "recording")} done`, failed ? `${failed} failed` : "", open ? `${open} to go` : ""];
    byId("progress").textContent = words.filter(Boolean).join(", ");
    byId("all-downloads").hidden = done === 0;
    const scored = entries.some((e) => typeof e.answer?.unknown_score === "number");
    byId("file-scroll").classList.toggle("unscored", !scored);
  }
}
