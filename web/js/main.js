/** Wires the page together: the drawing is the truth, everything else follows from it. */

import * as api from "./api.js";
import { Drawing } from "./drawing.js";
import { keepFocus } from "./focus.js";
import { History } from "./history.js";
import { attachKeyForm } from "./key-form.js";
import { attachKeyboardPen } from "./keyboard-pen.js";
import { attachModes, showMode } from "./modes.js";
import { Pad } from "./pad.js";
import { Panels } from "./panels.js";
import { attachPictureInputs } from "./picture-inputs.js";
import { Reader } from "./reader.js";
import { imageFromDrawing } from "./render.js";
import { Results } from "./results.js";
import { copyLink, drawingInAddress, linkTo, showInAddress, tidyAddress } from "./share.js";
import { Status } from "./status.js";
import { labels, partProblems, pictureProblems, text } from "./strings.js";
import { CANVAS_SIZE, WIDE_SIZE, isPortable } from "./strokes.js";
import { attachTools } from "./tools.js";
import { keepUnread, recallUnread } from "./unread.js";

const find = (id) => document.getElementById(id);

for (const element of document.querySelectorAll("[data-text]")) element.textContent = labels[element.dataset.text];
for (const element of document.querySelectorAll("[data-label]")) element.ariaLabel = labels[element.dataset.label];

const drawing = new Drawing();
const results = new Results(find);
const announce = (message) => results.announce(message);
const panels = new Panels(find, announce);
const pad = new Pad(find("pad"), {
  onChange(strokes) {
    find("hint").classList.add("gone");
    forgetPictures();
    // What was said of the drawing as it was.
    if (lastAnswer) forgetAnswer();
    if (strokes.length > 0) reader.preview({ ...drawing.content, strokes });
  },
  onCommit(strokes) {
    tidyAddress();
    drawing.replace(strokes);
    refresh();
  },
  onNothing: refresh,
  onPenSeen() {
    if (!find("touch-option").hidden) return;
    find("touch-option").hidden = false;
    pad.penOnly = true;
  },
});
const history = new History(find, open);
const reader = new Reader(ask, { onBusy: showBusy, onAnswer: showAnswer, onError: showError });
let lastAnswer = null;
let isUnanswered = false;
/** The picture that the panel on cleaning is about. */
let cleaned = null;
/** The view of whole numbers; its code comes with the first of them. */
let numbers = null;

async function ask(content, signal) {
  const png = content.width === CANVAS_SIZE || content.picture ? await imageFromDrawing(content) : null;
  if (content.width === CANVAS_SIZE) return api.predict(png, { debug: panels.isShown("debug"), signal });
  const { Numbers } = await api.loadModule("numbers");
  numbers ??= new Numbers(find, results, { onCorrect: attempted(correct), onChoose: attempted(takeAs) });
  // Strokes where there are any: those that touch are still known apart, and less is sent.
  const { strokes, width } = content;
  return api.readNumber(png ?? { strokes, width, height: CANVAS_SIZE }, { signal });
}

/** Bring the page in line with the drawing; the keyboard goes on from the canvas, not from the top of the page. */
function refresh() {
  keepFocus(followDrawing, () => find("pad"));
}

function followDrawing() {
  forgetPictures();
  showMode(find, drawing.content.width);
  if (drawing.isWide) panels.toggle("debug", false);
  pad.show(drawing.content);
  find("hint").classList.toggle("gone", !drawing.isBlank);
  find("undo").disabled = !drawing.canUndo;
  find("redo").disabled = !drawing.canRedo;
  find("clear").disabled = drawing.isBlank;
  find("share").disabled = drawing.picture !== null || !isPortable(drawing.strokes);
  find("share-message").textContent = "";
  find("cleaning").hidden = drawing.picture !== cleaned || drawing.picture === null;
  numbers?.clear();
  if (drawing.isBlank) {
    isUnanswered = false;
    reader.cancel();
    results.showBusy(false);
    results.showBlank();
    forgetAnswer();
  } else {
    read();
  }
  panels.showCorrecting(correctable());
}

function forgetAnswer() {
  lastAnswer = null;
  explain();
}

function read() {
  if (drawing.isBlank) return;
  isUnanswered = true;
  forgetAnswer();
  reader.settle(drawing.content);
}

/** Another drawing in place of the one on the pad, drawn before the user's eyes. */
function open(content) {
  pad.finish();
  tidyAddress();
  drawing.open(content);
  refresh();
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) pad.replay(drawing.content);
}

function showBusy({ settled }) {
  results.showBusy(true);
  if (settled) results.hideLatency();
}

function showAnswer(answer, request) {
  results.showBusy(false);
  if (request.drawing.width === WIDE_SIZE) numbers.show(answer, request);
  else results.showAnswer(answer, request);
  status.connection.succeeded();
  if (!request.settled) return;
  isUnanswered = false;
  lastAnswer = answer;
  if (!drawing.picture && !history.holds(drawing.content)) history.record(drawing.content, answer);
  explain();
  panels.showCorrecting(correctable());
  // The frame after the next one begins when this answer is on the screen.
  const showLatency = () => lastAnswer === answer && results.showLatency(performance.now() - request.since);
  // Nobody sees a hidden page: its next frame comes when it is looked at again.
  if (document.hidden) showLatency();
  else requestAnimationFrame(() => setTimeout(showLatency));
}

function showError(error, { settled }) {
  results.showBusy(false);
  if (settled) results.showUnread();
  results.showError(error);
  status.note(error);
}

function clear() {
  pad.finish();
  if (drawing.isBlank) {
    forgetPictures();
    results.showBusy(false);
    return;
  }
  tidyAddress();
  drawing.clear();
  refresh();
  announce(text.cleared);
}

function undo() {
  step(() => drawing.undo());
}

function redo() {
  step(() => drawing.redo());
}

/** A stroke in progress is a step, too. */
function step(take) {
  pad.finish();
  if (!take()) return;
  tidyAddress();
  refresh();
}

async function openSample() {
  const before = drawing.content;
  const { nextNumber, nextSample } = await api.loadModule("samples");
  if (drawing.content !== before || pad.isDrawing) return;
  open(drawing.isWide ? { strokes: nextNumber(), width: WIDE_SIZE } : { strokes: nextSample() });
}

async function share() {
  const { content } = drawing;
  const link = linkTo(content);
  const isCopied = await copyLink(link);
  if (drawing.content !== content) return;
  if (!isCopied) showInAddress(link);
  find("share-message").textContent = isCopied ? text.linkCopied : text.linkInAddress;
  announce(find("share-message").textContent);
}

function openSharedDrawing() {
  try {
    const shared = drawingInAddress();
    if (!shared) return;
    pad.finish();
    drawing.open({ ...shared, id: history.nameOf(shared) });
    refresh();
  } catch {
    results.showProblem(text.badLink);
  }
}

function openUnread() {
  const unread = recallUnread();
  if (!unread || !drawing.isBlank) return;
  drawing.open(unread);
  refresh();
}

function toggleDebug() {
  if (drawing.isWide) return;
  if (panels.toggle("debug") && !drawing.isBlank) read();
}

async function toggleCorrection() {
  const isWanted = !panels.isShown("correction");
  // Not shown before it works.
  await panels.correcting();
  panels.toggle("correction", isWanted);
  panels.showCorrecting(correctable());
}

/** The drawing of a digit that the panel for corrections is about. */
function correctable() {
  if (drawing.isWide) return numbers?.target ?? { strokes: [] };
  const answered = lastAnswer && { digit: lastAnswer.digit, confidence: lastAnswer.confidence };
  return { ...drawing.content, answered };
}

/** Put the chosen digit of a number right. */
async function correct() {
  await panels.correcting();
  panels.toggle("correction", true);
  panels.showCorrecting(correctable());
}

/** The user says what the number is, and thereby what some of its digits are: [{ target, label }]. */
async function takeAs(number, corrections) {
  const isReading = number === lastAnswer?.number;
  if (lastAnswer && !drawing.picture) {
    history.record(drawing.content, isReading ? lastAnswer : { number, confidence: null });
  }
  announce(text.takenAs(number));
  panels.showCorrecting(correctable());
  if (corrections.length > 0) (await panels.correcting()).correct(corrections, text.takenAs(number));
}

async function explain() {
  if (!panels.isShown("debug")) return;
  const answer = lastAnswer;
  try {
    const panel = await panels.understanding(async (pictures) => api.infer(await status.modelName, pictures));
    panel.explain(answer);
  } catch (error) {
    // The rest of the panel is of use without the map.
    status.note(error);
  }
}

/** The same action, which says so where a part of the page that it needs cannot be fetched. */
function attempted(action) {
  return async (...given) => {
    try {
      await action(...given);
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      results.showProblem(partProblems[error.kind]);
      status.note(error);
    }
  };
}

attachTools(find, pad, {
  undo,
  redo,
  clear,
  sample: attempted(openSample),
  share,
  "debug-toggle": toggleDebug,
  "correction-toggle": attempted(toggleCorrection),
  "try-again": read,
});
attachKeyForm(find, () => {
  status.connection.checkNow();
  read();
});
attachModes(find, (width) => {
  tidyAddress();
  drawing.resize(width);
  refresh();
});
const forgetPictures = attachPictureInputs(find, () => drawing.content.width, {
  onStart: () => results.showBusy(true),
  onPicture(picture) {
    cleaned = picture;
    open({ picture, width: picture.width });
  },
  onError(error) {
    results.showBusy(false);
    results.showProblem(pictureProblems[error.kind] ?? pictureProblems["not-an-image"], { canRetry: isUnanswered });
    status.note(error);
  },
});
addEventListener("hashchange", openSharedDrawing);
attachKeyboardPen(pad, (isDown) => announce(isDown ? text.penDown : text.penUp));

refresh();
const status = new Status(find, {
  announce,
  onBack: () => isUnanswered && !pad.isDrawing && read(),
});
openSharedDrawing();
openUnread();
// The last that a page learns for sure before it is gone.
document.addEventListener("visibilitychange", () => keepUnread(isUnanswered ? drawing.content : null));
// Missing over plain HTTP, refused where the server does not allow it the page itself: then there is no copy to keep.
navigator.serviceWorker?.register("/static/service-worker.js", { scope: "/" }).catch(() => {});
