/** Mouse, touch and keyboard on the spectrogram: click plays, dragging scrolls, wheel and pinch zoom. */

/** @typedef {import("./timeview.js").TimeView} TimeView */

/** Pixels that a pointer may move between press and release of a click. */
const CLICK = 5;

/**
 * Connect an element that shows the visible part over its whole width.
 *
 * The wheel zooms only while the element has the focus or with Ctrl (as a pinch on a touchpad is reported), so that it otherwise scrolls the
 * page as everywhere.
 *
 * @param {HTMLElement} target
 * @param {TimeView} view
 * @param {(time: number) => void} onClick time in seconds
 */
export function connectPointer(target, view, onClick) {
  /** @type {Map<number, number>} */
  const pointers = new Map();
  let pressed = 0, moved = false;
  const place = (/** @type {number} */ x) => {
    const box = target.getBoundingClientRect();
    return (x - box.left) / Math.max(1, box.width);
  };
  target.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pointers.set(event.pointerId, event.clientX);
    if (pointers.size === 1) [pressed, moved] = [event.clientX, false];
    else moved = true;
    target.setPointerCapture(event.pointerId);
  });
  target.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (before === undefined) return;
    const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, x]) => x);
    if (others.length) {
      const old = Math.max(20, Math.abs(before - others[0])), now = Math.max(20, Math.abs(event.clientX - others[0]));
      view.zoom(old / now, view.time(place((event.clientX + others[0]) / 2)));
    } else if (moved || Math.abs(event.clientX - pressed) > CLICK) {
      moved = true;
      view.move((place(before) - place(event.clientX)) * view.span);
    } else return;
    pointers.set(event.pointerId, event.clientX);
  });
  target.addEventListener("pointerup", (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (!moved && !pointers.size) onClick(view.time(place(event.clientX)));
  });
  target.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
  target.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== target) return;
    event.preventDefault();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
      view.move(((event.deltaX || event.deltaY) / 800) * view.span);
    } else {
      const pixels = event.deltaMode === 1 ? 20 * event.deltaY : event.deltaY;
      view.zoom(Math.exp(Math.max(-1, Math.min(1, (event.ctrlKey ? 4 : 1) * pixels / 300))), view.time(place(event.clientX)));
    }
  }, {passive: false});
}

/**
 * Connect the keys of the spectrogram.
 * @param {HTMLElement} target
 * @param {TimeView} view
 * @param {{time: number, duration: number, seek: (time: number) => void, play: (time: number) => void}} player
 */
export function connectKeys(target, view, player) {
  const seek = (/** @type {number} */ time) => {
    player.seek(Math.max(0, Math.min(view.duration, time)));
    view.reveal(player.time);
  };
  target.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    /** @type {Record<string, () => void>} */
    const actions = {
      ArrowLeft: () => seek(player.time - view.span / 50),
      ArrowRight: () => seek(player.time + view.span / 50),
      ArrowUp: () => view.zoom(0.7, player.time),
      ArrowDown: () => view.zoom(1 / 0.7, player.time),
      "+": () => view.zoom(0.7, player.time),
      "=": () => view.zoom(0.7, player.time),
      "-": () => view.zoom(1 / 0.7, player.time),
      0: () => view.set(0, view.duration),
      PageUp: () => seek(player.time - view.span),
      PageDown: () => seek(player.time + view.span),
      Home: () => seek(0),
      End: () => seek(view.duration),
      Enter: () => player.play(player.time),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
