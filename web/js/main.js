/** Wires the page together: the drawing is the truth, everything else follows from it. */

import * as api from "./api.js";
import { Connection } from "./connection.js";
import { Drawing } from "./drawing.js";
import { History } from "./history.js";
import { attachKeyboardPen } from "./keyboard-pen.js";
import { Pad } from "./pad.js";
import { attachPictureInputs } from "./picture-inputs.js";
import { Reader } from "./reader.js";
import { imageFromDrawing } from "./render.js";
import { Results } from "./results.js";
import { linkTo, offerLink, strokesInAddress, tidyAddress } from "./share.js";
import { listenForShortcuts } from "./shortcuts.js";
import { connection as connectionNames, labels, pictureProblems, text } from "./strings.js";

const find = (id) => document.getElementById(id);

for (const element of document.querySelectorAll("[data-text]")) element.textContent = labels[element.dataset.text];
for (const element of document.querySelectorAll("[data-label]")) element.ariaLabel = labels[element.dataset.label];

const drawing = new Drawing();
const results = new Results(find);
const announce = (message) => results.announce(message);
const pad = new Pad(find("pad"), {
  onChange(strokes) {
    find("hint").classList.add("gone");
    if (strokes.length > 0) reader.preview({ ...drawing.content, strokes });
  },
  onCommit(strokes) {
    tidyAddress();
    drawing.replace(strokes);
    refresh();
  },
  onPenSeen() {
    if (!find("touch-option").hidden) return;
    find("touch-option").hidden = false;
    pad.penOnly = true;
  },
});
const history = new History(find, (strokes) => open({ strokes }));
const reader = new Reader(
  async (content, signal) => api.predict(await imageFromDrawing(content), { debug: isShown("debug"), signal }),
  { onBusy: showBusy, onAnswer: showAnswer, onError: showError },
);
const connection = new Connection(api.health, showConnection);
let modelName = "digits";
let lastAnswer = null;
let isUnanswered = false;

/** Bring the page in line with the drawing. */
function refresh() {
  pad.show(drawing.content);
  find("hint").classList.toggle("gone", !drawing.isBlank);
  find("undo").disabled = !drawing.canUndo;
  find("redo").disabled = !drawing.canRedo;
  find("clear").disabled = drawing.isBlank;
  find("share").disabled = drawing.strokes.length === 0;
  if (!drawing.picture) find("cleaning").hidden = true;
  if (isShown("correction")) correctingPanel().then((panel) => panel.show(drawing.content));
  lastAnswer = null;
  if (drawing.isBlank) {
    isUnanswered = false;
    reader.cancel();
    results.showBusy(false);
    results.showBlank();
    explain();
  } else {
    read();
  }
}

function read() {
  isUnanswered = true;
  reader.settle(drawing.content);
}

/** Another drawing in place of the one on the pad, drawn before the user's eyes. */
function open({ strokes = [], picture = null }) {
  tidyAddress();
  drawing.open({ strokes, picture });
  refresh();
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) pad.replay(drawing.content);
}

function showBusy({ settled }) {
  results.showBusy(true);
  if (settled) results.hideLatency();
}

function showAnswer(answer, request) {
  results.showBusy(false);
  results.showAnswer(answer, request);
  connection.succeeded();
  if (!request.settled) return;
  isUnanswered = false;
  lastAnswer = answer;
  if (!drawing.picture) history.record(drawing.id, drawing.strokes, answer);
  explain();
  // The frame after the next one begins when this answer is on the screen.
  requestAnimationFrame(() => setTimeout(() => results.showLatency(performance.now() - request.since)));
}

function showError(error, { settled }) {
  results.showBusy(false);
  if (settled) results.showUnread();
  results.showError(error);
  if (error.kind === "network") connection.failed();
  else if (error.kind === "timeout" || error.status >= 500) connection.troubled();
}

function showConnection(state, health, before) {
  find("connection").dataset.state = state;
  find("connection-text").textContent = connectionNames[state];
  if (health?.model) showModel(health);
  if (state === "offline" || state === "unreachable") announce(connectionNames[state]);
  const isBack = state === "online" && (before === "offline" || before === "unreachable");
  if (isBack && isUnanswered && !pad.isDrawing) read();
}

async function showModel({ model, version }) {
  modelName = model;
  find("model").textContent = text.model(model, version);
  const { properties } = await api.describeModel(model).catch(() => ({ properties: {} }));
  if (properties.parity) find("model").textContent = text.model(model, version, properties.parity);
}

function clear() {
  if (drawing.isBlank && !pad.isDrawing) return;
  tidyAddress();
  drawing.clear();
  refresh();
  announce(text.cleared);
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

async function openSample() {
  const { nextSample } = await import("./samples.js");
  open({ strokes: nextSample() });
}

/** Read a picture instead of strokes: a file that was chosen, pasted or dropped. */
async function openPicture(file) {
  results.showBusy(true);
  const { cleanPicture } = await import("./picture.js");
  try {
    const { steps, picture } = await cleanPicture(file);
    const views = ["picture-original", "picture-evened", "picture-ink"].map(find);
    views.forEach((view, index) => view.replaceChildren(steps[index]));
    open({ picture });
    find("cleaning").hidden = false;
  } catch (error) {
    results.showBusy(false);
    results.showProblem(pictureProblems[error.kind] ?? pictureProblems["not-an-image"]);
  }
}

async function share() {
  const isCopied = await offerLink(linkTo(drawing.strokes));
  find("share-message").textContent = isCopied ? text.linkCopied : text.linkInAddress;
  announce(find("share-message").textContent);
}

function openSharedDrawing() {
  try {
    const strokes = strokesInAddress();
    if (strokes) {
      drawing.open({ strokes });
      refresh();
    }
  } catch {
    results.showProblem(text.badLink);
  }
}

function isShown(id) {
  return !find(id).hidden;
}

function togglePanel(id) {
  find(id).hidden = isShown(id);
  find(`${id}-toggle`).ariaExpanded = String(isShown(id));
  return isShown(id);
}

function toggleDebug() {
  if (togglePanel("debug") && !drawing.isBlank) read();
}

async function toggleCorrection() {
  const panel = await correctingPanel();
  if (togglePanel("correction")) panel.show(drawing.content);
}

/** Panels come with their code when they are first opened. */
function once(load) {
  let panel = null;
  return () => (panel ??= load());
}

const correctingPanel = once(async () => {
  const { Correcting } = await import("./correcting.js");
  return new Correcting(find, announce);
});
const understandingPanel = once(async () => {
  const { Understanding } = await import("./understanding.js");
  return new Understanding(find, (pictures) => api.infer(modelName, pictures));
});

async function explain() {
  if (isShown("debug")) (await understandingPanel()).explain(lastAnswer);
}

const actions = {
  undo,
  redo,
  clear,
  eraser: toggleEraser,
  sample: openSample,
  share,
  "debug-toggle": toggleDebug,
  "correction-toggle": toggleCorrection,
  "try-again": read,
};
for (const [id, action] of Object.entries(actions)) find(id).addEventListener("click", action);
find("touch-allowed").addEventListener("change", ({ target }) => {
  pad.penOnly = !target.checked;
});
find("pen-width").addEventListener("input", ({ target }) => {
  pad.penWidth = target.valueAsNumber;
  pad.show(drawing.content);
});
listenForShortcuts({ undo, redo, clear, toggleDebug });
attachPictureInputs(find, openPicture);
addEventListener("hashchange", openSharedDrawing);
attachKeyboardPen(pad, (isDown) => announce(isDown ? text.penDown : text.penUp));

refresh();
showConnection("checking");
connection.checkNow();
openSharedDrawing();
// Missing over plain HTTP, refused where the server does not allow it the page itself: then there is no copy to keep.
navigator.serviceWorker?.register("/static/service-worker.js", { scope: "/" }).catch(() => {});
