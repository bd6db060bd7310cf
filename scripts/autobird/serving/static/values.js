/** Show a JSON document to people: pairs of name and value, and tables. */

import {element} from "./dom.js";

/** Longest list of plain values that is shown in one line. */
const INLINE = 12;

/**
 * Return the elements of a value.
 * @param {any} value
 * @returns {HTMLElement|string}
 */
export function valueElement(value) {
  if (Array.isArray(value)) {
    if (value.length && value.every((v) => v && typeof v === "object" && !Array.isArray(v))) return tableOf(value);
    if (!value.length) return "none";
    return value.slice(0, INLINE).map(plain).join(", ") + (value.length > INLINE ? ` and ${value.length - INLINE} more` : "");
  }
  if (value && typeof value === "object") return pairs(value);
  if (typeof value === "string" && /^\/[\w/.-]+$/.test(value)) return element("a", {href: value.slice(1)}, value); // a path of this server
  return plain(value);
}

/**
 * @param {Record<string, any>} object
 * @returns {HTMLElement}
 */
export function pairs(object) {
  return element("dl", {}, ...Object.entries(object).flatMap(([name, value]) =>
    [element("dt", {}, words(name)), element("dd", {}, valueElement(value))]));
}

/**
 * Return a table whose columns are the keys of all rows.
 * @param {Record<string, any>[]} rows
 * @returns {HTMLElement}
 */
export function tableOf(rows) {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return element("div", {class: "scroll", tabIndex: 0, role: "group", "aria-label": "table"}, element("table", {},
    element("thead", {}, element("tr", {}, ...columns.map((name) => element("th", {scope: "col"}, words(name))))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...columns.map((name) =>
      element("td", {class: typeof row[name] === "number" ? "number" : ""}, inCell(row[name]))))))));
}

/** @param {any} value */
function inCell(value) {
  if (value && typeof value === "object" && !Array.isArray(value)) return Object.entries(value).map(([k, v]) => `${words(k)} ${plain(v)}`).join(", ");
  if (Array.isArray(value)) return value.map((v) => (v && typeof v === "object" ? Object.values(v).map(plain).join(" ") : plain(v))).join("; ");
  return plain(value);
}

/** @param {any} value */
function plain(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
  if (typeof value === "string" && /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(value)) return value.slice(0, 19).replace("T", " ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** @param {string} name */
function words(name) {
  return name.replaceAll("_", " ");
}
