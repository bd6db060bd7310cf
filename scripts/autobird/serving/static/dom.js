/** Create and find elements of the page, and announce messages to screen readers. */

/**
 * Return the element with an id.
 * @param {string} id
 * @returns {any} the element; its type is known to the caller
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element "${id}"`);
  return found;
}

/**
 * Create an element.
 * @param {string} tag
 * @param {Record<string, any>} [properties] `class`, `data-*`, `aria-*`, `role`, `for` and other names with a hyphen become attributes,
 *   functions become listeners of the event with this name, and the rest become properties of the element
 * @param {...(Node|string|null|undefined)} children
 * @returns {any} the element; its type is known to the caller
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === undefined || value === null) continue;
    else if (name.includes("-") || ["class", "role", "for", "lang", "scope"].includes(name)) made.setAttribute(name, String(value));
    else Reflect.set(made, name, value);
  }
  for (const child of children) if (child !== null && child !== undefined) made.append(child);
  return made;
}

/**
 * Have a screen reader say a message; it is not visible.
 * @param {string} message
 */
export function announce(message) {
  const line = element("p", {}, message);
  const region = byId("announcements");
  region.append(line);
  while (region.childElementCount > 5) region.firstElementChild.remove();
}

/**
 * Return the value of a CSS variable in the present colour scheme.
 * @param {string} name for example `--accent`
 */
export function cssColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/**
 * Give a canvas as many pixels as the screen has in its place, and return its drawing context.
 * @param {HTMLCanvasElement} canvas
 * @returns {{context: CanvasRenderingContext2D, width: number, height: number, ratio: number}} sizes in pixels of the screen
 */
export function fitCanvas(canvas) {
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio)), height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser cannot draw on a canvas");
  return {context, width, height, ratio};
}
