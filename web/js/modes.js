/** One digit on a square canvas, or a whole number on a wide one. */

import { labels, text } from "./strings.js";
import { CANVAS_SIZE, WIDE_SIZE } from "./strokes.js";

const BUTTONS = { "mode-digit": CANVAS_SIZE, "mode-number": WIDE_SIZE };

/** Call `onChoose(width)` where the user wants the other one. */
export function attachModes(find, onChoose) {
  for (const [id, width] of Object.entries(BUTTONS)) {
    find(id).addEventListener("click", ({ currentTarget }) => currentTarget.ariaPressed === "true" || onChoose(width));
  }
}

/** Lay the page out for a canvas of a width. */
export function showMode(find, width) {
  const isWide = width === WIDE_SIZE;
  if (find("main").hasAttribute("data-wide") === isWide) return;
  find("main").toggleAttribute("data-wide", isWide);
  for (const id of Object.keys(BUTTONS)) find(id).ariaPressed = String(BUTTONS[id] === width);
  find("hint").textContent = isWide ? text.hintNumber : labels.hint;
  // The number stands above its canvas.
  (isWide ? find("paper") : find("notice")).before(find("primary"));
}
