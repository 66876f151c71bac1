/** Wires the page together: the drawing is the truth, everything else follows from it. */

import * as api from "./api.js";
import { Connection } from "./connection.js";
import { Drawing } from "./drawing.js";
import { History } from "./history.js";
import { Pad } from "./pad.js";
import { Reader } from "./reader.js";
import { imageFromStrokes } from "./render.js";
import { Results } from "./results.js";
import { connection as connectionNames, labels, text } from "./strings.js";

const find = (id) => document.getElementById(id);

for (const element of document.querySelectorAll("[data-text]")) element.textContent = labels[element.dataset.text];
for (const element of document.querySelectorAll("[data-label]")) element.ariaLabel = labels[element.dataset.label];

const drawing = new Drawing();
const results = new Results(find);
const pad = new Pad(find("pad"), {
  onChange(strokes) {
    find("hint").classList.add("gone");
    if (strokes.length > 0) reader.preview(strokes);
  },
  onCommit(strokes) {
    drawing.replace(strokes);
    refresh();
  },
  onPenSeen() {
    pad.penOnly = true;
  },
});
const history = new History(find, (strokes) => {
  drawing.open(strokes);
  refresh();
});
const reader = new Reader(
  (strokes, signal) => api.predict(imageFromStrokes(strokes), { debug: isDebugShown(), signal }),
  { onBusy: () => results.showBusy(true), onAnswer: showAnswer, onError: showError },
);
const connection = new Connection(api.health, showConnection);
let isUnanswered = false;

/** Bring the page in line with the drawing. */
function refresh() {
  pad.show(drawing.strokes);
  find("hint").classList.toggle("gone", !drawing.isBlank);
  find("undo").disabled = !drawing.canUndo;
  find("redo").disabled = !drawing.canRedo;
  find("clear").disabled = drawing.isBlank;
  if (drawing.isBlank) {
    isUnanswered = false;
    reader.cancel();
    results.showBusy(false);
    results.showBlank();
  } else {
    read();
  }
}

function read() {
  isUnanswered = true;
  reader.settle(drawing.strokes);
}

function showAnswer(answer, request) {
  results.showBusy(false);
  results.showAnswer(answer, request);
  connection.succeeded();
  if (!request.settled) return;
  isUnanswered = false;
  history.record(drawing.id, drawing.strokes, answer);
  // The frame after the next one begins when this answer is on the screen.
  requestAnimationFrame(() => setTimeout(() => results.showLatency(performance.now() - request.since)));
}

function showError(error) {
  results.showBusy(false);
  results.showError(error);
  if (error.kind !== "http" || error.status >= 500) connection.failed();
}

function showConnection(state, health) {
  find("connection").dataset.state = state;
  find("connection-text").textContent = connectionNames[state];
  find("model").textContent = health?.model ? text.model(health.model, health.version) : "";
  if (state === "offline" || state === "unreachable") results.announce(connectionNames[state]);
  if (state === "online" && isUnanswered && !pad.isDrawing) read();
}

function clear() {
  if (drawing.isBlank && !pad.isDrawing) return;
  pad.show([]);
  drawing.clear();
  refresh();
  results.announce(text.cleared);
}

function undo() {
  drawing.undo();
  refresh();
}

function redo() {
  drawing.redo();
  refresh();
}

function toggleEraser() {
  pad.tool = pad.tool === "eraser" ? "pen" : "eraser";
  find("eraser").ariaPressed = String(pad.tool === "eraser");
  pad.showCursor(null);
}

function isDebugShown() {
  return !find("debug").hidden;
}

function toggleDebug() {
  find("debug").hidden = isDebugShown();
  find("debug-toggle").ariaExpanded = String(isDebugShown());
  if (isDebugShown() && !drawing.isBlank) read();
}

const shortcuts = [
  { matches: (event) => event.key === "Escape", run: clear },
  { matches: (event) => event.altKey && event.code === "KeyC", run: clear },
  { matches: (event) => event.altKey && event.code === "KeyD", run: toggleDebug },
  { matches: (event) => hasCommandKey(event) && event.code === "KeyZ" && event.shiftKey, run: redo },
  { matches: (event) => hasCommandKey(event) && event.code === "KeyZ", run: undo },
  { matches: (event) => hasCommandKey(event) && event.code === "KeyY", run: redo },
];

function hasCommandKey(event) {
  return (event.ctrlKey || event.metaKey) && !event.altKey;
}

addEventListener("keydown", (event) => {
  const shortcut = shortcuts.find(({ matches }) => matches(event));
  if (!shortcut) return;
  event.preventDefault();
  shortcut.run();
});
const actions = { undo, redo, clear, eraser: toggleEraser, "debug-toggle": toggleDebug, "try-again": read };
for (const [id, action] of Object.entries(actions)) find(id).addEventListener("click", action);

refresh();
showConnection("checking");
connection.checkNow();
