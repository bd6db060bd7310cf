/** The controls of a result: sound, picture, threshold. */

import {byId} from "./dom.js";
import {clock} from "./text.js";

/** The threshold factor at the ends of the slider is 1 / this, and this. */
const LARGEST_FACTOR = 4;

/** Values of the slider at its ends. */
const SLIDER = 100;

/**
 * Connect the threshold controls.
 * @param {import("./options.js").Options} options
 */
export function connectThreshold(options) {
  const slider = byId("threshold"), output = byId("threshold-value"), mode = byId("threshold-mode");
  const draw = () => {
    mode.value = options.mode;
    slider.value = options.mode === "factor"
      ? Math.round((SLIDER * Math.log(options.factor)) / Math.log(LARGEST_FACTOR))
      : Math.round(2 * SLIDER * options.absolute - SLIDER);
    const text = options.mode === "factor" ? `× ${options.factor.toFixed(2)}` : options.absolute.toFixed(2);
    output.textContent = text;
    slider.setAttribute("aria-valuetext", options.mode === "factor" ? `own thresholds times ${options.factor.toFixed(2)}` : text);
    byId("threshold-reset").hidden = options.isDefault;
    byId("excluded").textContent = options.excluded.size ? `${options.excluded.size} species left out` : "";
  };
  slider.addEventListener("input", () => {
    const value = Number(slider.value);
    if (options.mode === "factor") options.set({factor: value === 0 ? 1 : LARGEST_FACTOR ** (value / SLIDER)});
    else options.set({absolute: (value + SLIDER) / (2 * SLIDER)});
  });
  mode.addEventListener("change", () => options.set({mode: mode.value}));
  byId("threshold-reset").addEventListener("click", () => {
    options.reset();
    slider.focus();
  });
  options.addEventListener("change", draw);
  draw();
}

/**
 * Connect the controls of the sound.
 * @param {import("./player.js").Player} player
 */
export function connectSound(player) {
  const button = byId("play");
  button.addEventListener("click", () => player.toggle());
  byId("stop-loop").addEventListener("click", () => {
    player.stopLoop();
    button.focus();
  });
  byId("speed").addEventListener("change", () => player.setSpeed(Number(byId("speed").value)));
  byId("gain").addEventListener("input", () => {
    player.setGain(Number(byId("gain").value));
    byId("gain-value").textContent = `+${byId("gain").value} dB`;
  });
  player.addEventListener("state", () => {
    button.textContent = player.playing ? "❚❚ Pause" : "▶ Play";
    byId("stop-loop").hidden = !player.span?.repeat;
  });
  player.addEventListener("time", () => {
    byId("time").textContent = `${clock(player.time)} / ${clock(player.duration)}`;
  });
  document.addEventListener("keydown", (event) => {
    const target = /** @type {Element} */ (event.target);
    const isControl = target.closest("button, input, select, textarea, a, summary, dialog, [contenteditable]");
    if (event.key !== " " || isControl || byId("result").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    player.toggle();
  });
}

/**
 * Connect the controls of the picture.
 * @param {import("./plot.js").Plot} plot
 * @param {import("./timeview.js").TimeView} view
 * @param {import("./player.js").Player} player zooming keeps the place where it plays, if that is visible
 */
export function connectPicture(plot, view, player) {
  const centre = () => (player.time >= view.start && player.time <= view.end ? player.time : (view.start + view.end) / 2);
  byId("zoom-in").addEventListener("click", () => view.zoom(0.5, centre()));
  byId("zoom-out").addEventListener("click", () => view.zoom(2, centre()));
  byId("zoom-all").addEventListener("click", () => view.set(0, view.duration));
  view.addEventListener("change", () => {
    // A button that has the focus must not be disabled: the keyboard would lose its place.
    for (const id of ["zoom-out", "zoom-all"]) byId(id).setAttribute("aria-disabled", String(!view.zoomed));
  });
  const configure = () => plot.configure({
    colours: byId("colours").value, highest: Number(byId("highest").value), contrast: Number(byId("contrast").value) / 100,
  });
  byId("colours").addEventListener("change", configure);
  byId("highest").addEventListener("change", configure);
  byId("contrast").addEventListener("input", configure);
}
