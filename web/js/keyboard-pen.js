/** Drawing without a pointer: the arrow keys move a pen, the space bar lowers and lifts it. */

import { CANVAS_SIZE, clamp } from "./strokes.js";

const STEP = 10;
const FINE_STEP = 2;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Attach to a pad; `onToggle(isDown)` hears of the pen going down and up. */
export function attachKeyboardPen(pad, onToggle) {
  let point = [CANVAS_SIZE / 2, CANVAS_SIZE / 2];
  let isDown = false;

  function lift() {
    if (!isDown) return;
    isDown = false;
    pad.finish();
    onToggle(isDown);
  }

  function toggle() {
    if (isDown) return lift();
    isDown = true;
    pad.begin(point);
    onToggle(isDown);
  }

  function move([dx, dy], step) {
    point = [clamp(point[0] + dx * step, pad.width), clamp(point[1] + dy * step, CANVAS_SIZE)];
    if (isDown) pad.extend([point]);
    pad.showCursor(point);
  }

  pad.canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    // Escape takes the drawing away under the pen.
    isDown &&= pad.isDrawing;
    if (event.key === " ") toggle();
    else if (event.key in MOVES) move(MOVES[event.key], event.shiftKey ? FINE_STEP : STEP);
    else return;
    event.preventDefault();
  });
  pad.canvas.addEventListener("focus", () => {
    // The canvas may have been a wider one.
    point = [clamp(point[0], pad.width), point[1]];
    pad.showCursor(point);
  });
  pad.canvas.addEventListener("blur", () => {
    lift();
    pad.showCursor(null);
  });
}
