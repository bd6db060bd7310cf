/** Show the model card, a Markdown text: headings, lists, tables, emphasis, code and links; anything else stays as text. */

import {element} from "./dom.js";

/**
 * Return the elements of a text.
 * @param {string} text
 * @param {number} level level of the highest heading, 1 to 6
 * @returns {HTMLElement[]}
 */
export function markdown(text, level) {
  const lines = text.replaceAll("\r", "").split("\n");
  /** @type {HTMLElement[]} */
  const blocks = [];
  for (let at = 0; at < lines.length;) {
    const first = lines[at], heading = /^(#{1,6})\s+(.*)/.exec(first);
    let end = at + 1;
    const take = (/** @type {RegExp} */ pattern) => {
      while (end < lines.length && pattern.test(lines[end])) end += 1;
      return lines.slice(at, end);
    };
    if (!first.trim()) {
      // blocks are separated by empty lines
    } else if (heading) {
      blocks.push(element(`h${Math.min(6, heading[1].length + level - 1)}`, {}, ...inline(heading[2])));
    } else if (first.startsWith("```")) {
      const inner = take(/^(?!```)/).slice(1);
      end += 1;
      blocks.push(element("pre", {tabIndex: 0}, inner.join("\n")));
    } else if (first.startsWith("|")) {
      blocks.push(table(take(/^\|/)));
    } else if (/^\s*[-*] /.test(first)) {
      const items = take(/^\s*[-*] |^ {2,}\S/).join("\n").split(/^\s*[-*] /m).filter((item) => item.trim());
      blocks.push(element("ul", {}, ...items.map((item) => element("li", {}, ...inline(item.trim())))));
    } else {
      blocks.push(element("p", {}, ...inline(take(/^(?![#|]|\s*[-*] |```|\s*$)/).join(" "))));
    }
    at = end;
  }
  return blocks;
}

/**
 * @param {string[]} lines
 * @returns {HTMLElement}
 */
function table(lines) {
  const rows = lines.filter((line) => !/^\|[\s:|-]+\|?$/.test(line))
    .map((line) => line.replace(/^\||\|\s*$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|")));
  const [head, ...body] = rows;
  return element("div", {class: "scroll", tabIndex: 0, role: "group", "aria-label": "table"}, element("table", {},
    element("thead", {}, element("tr", {}, ...head.map((cell) => element(cell ? "th" : "td", cell ? {scope: "col"} : {}, ...inline(cell))))),
    element("tbody", {}, ...body.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, ...inline(cell))))))));
}

/**
 * @param {string} text
 * @returns {(Node|string)[]}
 */
function inline(text) {
  const pattern = /\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)|<(https?:\/\/[^>\s]+)>|`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*/g;
  const parts = [];
  let at = 0;
  for (const match of text.matchAll(pattern)) {
    parts.push(text.slice(at, match.index));
    const [all, label, target, bare, code, bold, italic] = match;
    if (target || bare) parts.push(element("a", {href: target ?? bare, rel: "noreferrer", target: "_blank"}, label ?? bare));
    else if (code) parts.push(element("code", {}, code));
    else if (bold) parts.push(element("b", {}, ...inline(bold)));
    else parts.push(element("i", {}, italic));
    at = match.index + all.length;
  }
  parts.push(text.slice(at));
  return parts;
}
