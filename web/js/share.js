/** A drawing in a link: after the #, which browsers keep to themselves. */

import { CANVAS_SIZE, WIDE_SIZE, decodeStrokes, encodeStrokes } from "./strokes.js";

/** Of a digit, and of a whole number. */
const PREFIXES = { "#d=": CANVAS_SIZE, "#n=": WIDE_SIZE };
const PREFIX_LENGTH = 3;

export function linkTo({ strokes, width }) {
  const prefix = Object.keys(PREFIXES).find((each) => PREFIXES[each] === width);
  return new URL(prefix + encodeStrokes(strokes), location.href).href;
}

/** The drawing in the address bar, { strokes, width }; null without any. Throws RangeError where it cannot be read. */
export function drawingInAddress() {
  const width = PREFIXES[location.hash.slice(0, PREFIX_LENGTH)];
  return width ? { strokes: decodeStrokes(location.hash.slice(PREFIX_LENGTH), width), width } : null;
}

/** Forget the drawing in the address bar: the one on the paper is another by now. */
export function tidyAddress() {
  const isLink = location.hash.slice(0, PREFIX_LENGTH) in PREFIXES;
  if (isLink) history.replaceState(null, "", location.pathname + location.search);
}

/** Put a link on the clipboard: is that allowed? */
export async function copyLink(link) {
  try {
    await navigator.clipboard.writeText(link);
    return true;
  } catch {
    return false;
  }
}

export function showInAddress(link) {
  history.replaceState(null, "", link);
}
