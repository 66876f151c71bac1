/** A drawing in a link: after the #, which browsers keep to themselves. */

import { decodeStrokes, encodeStrokes } from "./strokes.js";

const PREFIX = "#d=";

export function linkTo(strokes) {
  return new URL(PREFIX + encodeStrokes(strokes), location.href).href;
}

/** The strokes in the address bar; null without any. Throws RangeError where they cannot be read. */
export function strokesInAddress() {
  return location.hash.startsWith(PREFIX) ? decodeStrokes(location.hash.slice(PREFIX.length)) : null;
}

/** Forget the strokes in the address bar: the drawing is another one by now. */
export function tidyAddress() {
  if (location.hash.startsWith(PREFIX)) history.replaceState(null, "", location.pathname + location.search);
}

/** Put a link on the clipboard; where that is forbidden, into the address bar. Says which: true for the clipboard. */
export async function offerLink(link) {
  try {
    await navigator.clipboard.writeText(link);
    return true;
  } catch {
    history.replaceState(null, "", link);
    return false;
  }
}
