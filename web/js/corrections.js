/** Drawings with the digit that their drawer meant, kept in this browser until they are saved as a file. */

import { follow, keep, recall } from "./storage.js";
import { CANVAS_SIZE, decodeStrokes, encodeStrokes } from "./strokes.js";

const MAX_KEPT = 1000;
/** As the programs that read the file have it. */
const NAME = /^[A-Za-z0-9_-]{1,64}$/;

let consent = recall("consent") === true;

/** Has the user agreed to corrections being sent? Not unless said so, and until taken back. */
export function hasConsent() {
  return consent;
}

export function setConsent(given) {
  consent = given;
  keep("consent", consent);
}

/** Call `onChange()` where it is given or taken back in another tab. */
export function followConsent(onChange) {
  follow("consent", () => {
    consent = recall("consent") === true;
    onChange();
  });
}

/** Call `onChange()` where drawings are put right, or deleted, in another tab. */
export function followCorrections(onChange) {
  follow("corrections", onChange);
}

/** [{ name, label, strokes }], the strokes as compact text. */
export function loadCorrections() {
  const stored = recall("corrections");
  return Array.isArray(stored) ? stored.filter(isCorrection) : [];
}

/** Keep a drawing under its right label; a second thought replaces the first. False where storage is full. */
export function keepCorrection(id, label, strokes) {
  return add([{ name: id, label: String(label), strokes: encodeStrokes(strokes) }]);
}

export function deleteCorrections() {
  return keep("corrections", []);
}

/** A list of { name, label, strokes }, as in tests/fixtures/strokes/digits.json: points on a 280x280 canvas. */
export function fileFromCorrections() {
  const drawings = loadCorrections().map((each) => ({ ...each, strokes: decodeStrokes(each.strokes) }));
  return new Blob([`${JSON.stringify(drawings)}\n`], { type: "application/json" });
}

/** Add the drawings of such a file: how many. Throws where it is not one, or storage is full. */
export function addFromFile(text) {
  const added = JSON.parse(text).map(({ name, label, strokes }) => {
    strokes.forEach(checkStroke);
    return { name, label, strokes: encodeStrokes(strokes) };
  });
  if (!added.every(isCorrection)) throw new RangeError("not drawings");
  if (!add(added)) throw new RangeError("storage is full");
  return added.length;
}

function checkStroke(stroke) {
  const isOnCanvas = (value) => typeof value === "number" && value >= 0 && value <= CANVAS_SIZE;
  const isPoint = ([x, y]) => isOnCanvas(x) && isOnCanvas(y);
  if (!stroke.every(isPoint)) throw new RangeError("outside the canvas");
}

function add(added) {
  const names = new Set(added.map(({ name }) => name));
  const others = loadCorrections().filter(({ name }) => !names.has(name));
  return keep("corrections", [...others, ...added].slice(-MAX_KEPT));
}

function isCorrection(each) {
  try {
    return NAME.test(each.name) && /^[0-9]$/.test(each.label) && decodeStrokes(each.strokes).length > 0;
  } catch {
    return false;
  }
}
