/** The dialog in which the reviewer names another species: typing searches among the model's species and the known birds. */

import {byId, element} from "./dom.js";
import {nameElement, nameText} from "./names.js";
import {askJson} from "./review-api.js";
import {score} from "./text.js";

/** @typedef {{species: string, note: string}} Choice note: why it is offered */

/** Time after a key before the server is asked, milliseconds. */
const PAUSE = 120;

/** The dialog. */
export class Chooser {
  constructor() {
    this.dialog = byId("chooser");
    this.text = byId("chooser-text");
    /** @type {Record<string, string>} */
    this.commonNames = {};
    /** @type {string[]} */
    this.labels = [];
    /** @type {Choice[]} */
    this.choices = [];
    this.active = 0;
    /** @type {import("./review-api.js").Item|null} */
    this.item = null;
    this.asked = 0;
    /** Text that the list is about. */
    this.listed = "";
    /** @type {(species: string) => void} */
    this.resolve = () => undefined;
    this.text.addEventListener("input", () => this.search());
    this.text.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.key(event));
    byId("chooser-form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.choose(this.active);
    });
    byId("chooser-cancel").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => this.resolve(""));
    this.dialog.addEventListener("click", (/** @type {any} */ event) => event.target === this.dialog && this.dialog.close());
  }

  /**
   * Ask for a species.
   * @param {import("./review-api.js").Item} item
   * @returns {Promise<string>} "" if the reviewer cancels
   */
  open(item) {
    this.item = item;
    this.text.value = item.other_species;
    this.dialog.showModal();
    this.offer();
    if (this.text.value) this.search();
    this.text.select();
    return new Promise((resolve) => {
      this.resolve = resolve;
    });
  }

  /** Offer the species that are probable in the window, then the others of the model. */
  offer() {
    const {item} = this;
    if (!item) return;
    const probable = item.others.map(({species, probability}) => ({species, note: `probability ${score(probability)}`}));
    const named = new Set([item.species, ...probable.map((choice) => choice.species)]);
    this.draw([...probable, ...this.labels.filter((label) => !named.has(label)).map((species) => ({species, note: ""}))]);
  }

  async search() {
    const text = this.text.value.trim(), number = ++this.asked;
    if (!text) return this.offer();
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    if (number !== this.asked) return;
    /** @type {{species: string, common_name: string|null, is_own: boolean}[]} */
    const found = await askJson(`v1/review/species?${new URLSearchParams({text})}`).catch(() => []);
    if (number !== this.asked) return;
    for (const entry of found) if (entry.common_name) this.commonNames[entry.species] = entry.common_name;
    const choices = found.filter((entry) => entry.species !== this.item?.species)
      .map((entry) => ({species: entry.species, note: entry.is_own ? "" : "not in the model"}));
    const isKnown = choices.some((choice) => choice.species.toLowerCase() === text.toLowerCase());
    this.draw(isKnown ? choices : [...choices, {species: text, note: "as typed"}]);
  }

  /** @param {Choice[]} choices */
  draw(choices) {
    this.choices = choices;
    this.listed = this.text.value.trim();
    this.active = 0;
    byId("chooser-list").replaceChildren(...choices.map(({species, note}, k) => element("li", {
      id: `choice-${k}`, role: "option", "aria-selected": String(k === 0), click: () => this.choose(k),
    }, note === "as typed" ? element("span", {}, `“${species}”`) : nameElement(species, this.commonNames),
    element("span", {class: "soft"}, note))));
    byId("chooser-note").textContent = choices.length ? "" : "Type a name.";
    this.mark(0);
  }

  /** @param {number} active */
  mark(active) {
    const last = this.choices.length - 1;
    this.active = Math.max(0, Math.min(last, active));
    [...byId("chooser-list").children].forEach((row, k) => row.setAttribute("aria-selected", String(k === this.active)));
    if (last < 0) return this.text.removeAttribute("aria-activedescendant");
    this.text.setAttribute("aria-activedescendant", `choice-${this.active}`);
    byId(`choice-${this.active}`).scrollIntoView({block: "nearest"});
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const step = {ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8}[event.key];
    if (!step) return;
    event.preventDefault();
    this.mark(this.active + step);
  }

  /** @param {number} number */
  choose(number) {
    const typed = this.text.value.trim(), choice = this.choices[number];
    // Enter directly after typing: the list may still be that of an earlier text.
    const species = choice && (typed === this.listed || this.fits(choice.species, typed)) ? choice.species : typed;
    if (!species || species === this.item?.species) return;
    const {resolve} = this;
    this.resolve = () => undefined;
    this.dialog.close();
    resolve(species);
  }

  /**
   * @param {string} species
   * @param {string} text
   */
  fits(species, text) {
    const plain = (/** @type {string} */ words) => words.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");
    return plain(nameText(species, this.commonNames)).includes(plain(text));
  }
}
