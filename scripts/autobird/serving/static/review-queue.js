/** The form that selects the queue: its kind, filters, size and seed. */

import {byId, element} from "./dom.js";
import {nameText} from "./names.js";
import {counted} from "./text.js";

/** @type {Record<string, [string, string]>} */
const KINDS = {
  stratified: ["stratified by score", "Equally many items of each species and score. The answers give the precision by score."],
  random: ["random", "A random sample of all candidates. The answers give the precision; most candidates have low scores."],
  uncertain: ["most uncertain", "The scores nearest to the thresholds: they teach the model most, but do not measure it."],
  unlike: ["most unlike the training set", "Detections in the windows that resemble the training set least: often false alarms."],
  similar: ["similar to the given clip", "The windows most similar to the sound that autobird review was started with."],
};

/** The form. */
export class QueueForm {
  /** @param {() => void} onUse */
  constructor(onUse) {
    /** @type {any} */
    this.about = null;
    byId("queue-form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      byId("queue-details").open = false;
      onUse();
    });
    byId("queue").addEventListener("change", () => this.explain());
  }

  /**
   * Fill the form.
   * @param {any} about answer of `/v1/review`
   * @param {Record<string, string>} commonNames
   */
  fill(about, commonNames) {
    this.about = about;
    const own = about.default;
    const option = (/** @type {string} */ value, /** @type {string} */ text) => element("option", {value}, text);
    byId("queue").replaceChildren(...about.queues.map((/** @type {string} */ name) => option(name, KINDS[name]?.[0] ?? name)));
    byId("queue").value = own.queue;
    const species = about.species.map((/** @type {any} */ s) => option(s.species, nameText(s.species, commonNames)));
    byId("queue-species").replaceChildren(option("", "all"), ...species);
    byId("queue-species").value = own.species.length === 1 ? own.species[0] : "";
    byId("site").replaceChildren(option("", "all"), ...about.sites.map((/** @type {string} */ name) => option(name, name)));
    byId("site").value = own.site.length === 1 ? own.site[0] : "";
    byId("site-label").hidden = !about.sites.length;
    byId("hours").hidden = !about.has_times;
    [byId("hour-from").value, byId("hour-to").value] = own.hours ? own.hours.split("-") : ["", ""];
    byId("count").value = own.count;
    byId("seed").value = own.seed;
    byId("min-probability").value = own.min_probability;
    this.explain();
  }

  explain() {
    byId("queue-note").textContent = KINDS[byId("queue").value]?.[1] ?? "";
  }

  /** Return the parameters of the queue. */
  query() {
    const own = this.about.default, query = new URLSearchParams();
    query.set("queue", byId("queue").value);
    for (const [name, id, list] of [["species", "queue-species", own.species], ["site", "site", own.site]]) {
      const value = byId(id).value;
      // Several names can be given on the command line alone; the form leaves them as they are until one is chosen.
      if (value || list.length < 2) query.set(name, value);
    }
    const from = byId("hour-from").value, to = byId("hour-to").value;
    query.set("hours", from !== "" && to !== "" ? `${from}-${to}` : "");
    for (const [name, id] of [["count", "count"], ["seed", "seed"], ["min_probability", "min-probability"]]) query.set(name, byId(id).value);
    if (byId("leave-out").checked) query.set("leave_out_others", "1");
    this.describe();
    return query;
  }

  describe() {
    const parts = [KINDS[byId("queue").value]?.[0] ?? "", `up to ${counted(Number(byId("count").value), "item")}`];
    for (const id of ["queue-species", "site"]) if (byId(id).value) parts.push(byId(id).selectedOptions[0].text);
    const from = byId("hour-from").value, to = byId("hour-to").value;
    if (from !== "" && to !== "") parts.push(`${from} to ${to} o'clock`);
    byId("queue-title").textContent = `Queue: ${parts.join(", ")}`;
  }
}
