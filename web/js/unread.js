/** A drawing that no server has read yet outlives a reload, in its own tab. */

import { keep, recall } from "./storage.js";
import { CANVAS_SIZE, WIDE_SIZE, decodeStrokes, encodeStrokes, isPortable } from "./strokes.js";

/** Keep a drawing for the next page of this tab; null, or one that cannot be kept, forgets the one before. */
export function keepUnread(content) {
  const isKept = content !== null && !content.picture && isPortable(content.strokes);
  const kept = isKept ? { ...content, strokes: encodeStrokes(content.strokes) } : null;
  keep("unread", kept, "sessionStorage");
}

/** The drawing that the last page of this tab left unread; null without any. */
export function recallUnread() {
  const kept = recall("unread", "sessionStorage");
  if (kept === null) return null;
  const width = kept.width === WIDE_SIZE ? WIDE_SIZE : CANVAS_SIZE;
  try {
    return { id: kept.id, strokes: decodeStrokes(kept.strokes, width), width };
  } catch {
    return null;
  }
}
