/** The buttons and keys around the canvas. */

import { listenForShortcuts } from "./shortcuts.js";

/** Call `actions[id]` for the button of that id, and tell the pad about its pen. */
export function attachTools(find, pad, actions) {
  for (const [id, action] of Object.entries(actions)) find(id).addEventListener("click", action);
  listenForShortcuts({ ...actions, toggleDebug: actions["debug-toggle"] });
  find("eraser").addEventListener("click", () => {
    pad.tool = pad.tool === "eraser" ? "pen" : "eraser";
    find("eraser").ariaPressed = String(pad.tool === "eraser");
    pad.showCursor(null);
  });
  find("touch-allowed").addEventListener("change", ({ target }) => {
    pad.penOnly = !target.checked;
  });
  find("pen-width").addEventListener("input", ({ target }) => {
    pad.penWidth = target.valueAsNumber;
    pad.repaint();
  });
}
