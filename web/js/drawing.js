/** The drawing and its past: every change can be undone, clearing included. */

import { CANVAS_SIZE, WIDE_SIZE } from "./strokes.js";

const MAX_STEPS = 200;
const BLANK = Object.freeze({ id: null, picture: null, strokes: Object.freeze([]), width: CANVAS_SIZE });

export class Drawing {
  #past = [];
  #present = BLANK;
  #future = [];

  /** { id, picture, strokes, width }: strokes, and below them a cleaned picture where one was opened. */
  get content() {
    return this.#present;
  }

  get strokes() {
    return this.#present.strokes;
  }

  get picture() {
    return this.#present.picture;
  }

  /** Names one drawing from its first stroke until the canvas is cleared; undoing a clear brings the name back. */
  get id() {
    return this.#present.id;
  }

  /** A whole number, on a wide canvas, and not a digit. */
  get isWide() {
    return this.#present.width === WIDE_SIZE;
  }

  get isBlank() {
    return this.strokes.length === 0 && this.picture === null;
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  /** The same drawing with other strokes. */
  replace(strokes) {
    this.#change({ ...this.#present, id: this.id ?? newId(), strokes });
  }

  /** Another drawing: strokes, or a cleaned picture; with its name where it has one. */
  open({ id = newId(), strokes = [], picture = null, width = CANVAS_SIZE }) {
    this.#change({ id, picture, strokes, width });
  }

  clear() {
    if (!this.isBlank) this.#change({ ...BLANK, width: this.#present.width });
  }

  /** Go on on a canvas of another width: with the same drawing, if there is room for it, else with none. */
  resize(width) {
    const fits = !this.picture && this.strokes.flat().every(([x]) => x <= width);
    const content = fits ? { ...this.#present, id: newId(), width } : { ...BLANK, width };
    if (this.isBlank) this.#present = { ...BLANK, width };
    else this.#change(content);
  }

  #change(content) {
    this.#past = [...this.#past.slice(1 - MAX_STEPS), this.#present];
    const isBlank = content.strokes.length === 0 && !content.picture;
    this.#present = isBlank ? { ...BLANK, width: content.width } : content;
    this.#future = [];
  }

  /** Was there anything to undo? */
  undo() {
    if (!this.canUndo) return false;
    this.#future.push(this.#present);
    this.#present = this.#past.pop();
    return true;
  }

  /** Was there anything to redo? */
  redo() {
    if (!this.canRedo) return false;
    this.#past.push(this.#present);
    this.#present = this.#future.pop();
    return true;
  }
}

function newId() {
  // crypto.randomUUID is missing where a page is served over plain HTTP.
  return `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;
}
