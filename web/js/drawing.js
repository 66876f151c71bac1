/** The drawing and its past: every change can be undone, clearing included. */

const MAX_STEPS = 200;
const BLANK = Object.freeze({ id: null, strokes: Object.freeze([]) });

export class Drawing {
  #past = [];
  #present = BLANK;
  #future = [];

  get strokes() {
    return this.#present.strokes;
  }

  /** Names one drawing from its first stroke until the canvas is cleared; undoing a clear brings the name back. */
  get id() {
    return this.#present.id;
  }

  get isBlank() {
    return this.strokes.length === 0;
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  addStroke(stroke) {
    this.replace([...this.strokes, stroke]);
  }

  replace(strokes, id = this.id ?? newId()) {
    this.#past = [...this.#past.slice(1 - MAX_STEPS), this.#present];
    this.#present = strokes.length > 0 ? { id, strokes } : BLANK;
    this.#future = [];
  }

  /** Begin another drawing with these strokes. */
  open(strokes) {
    this.replace(strokes, newId());
  }

  clear() {
    if (!this.isBlank) this.replace([]);
  }

  undo() {
    if (!this.canUndo) return;
    this.#future.push(this.#present);
    this.#present = this.#past.pop();
  }

  redo() {
    if (!this.canRedo) return;
    this.#past.push(this.#present);
    this.#present = this.#future.pop();
  }
}

function newId() {
  // crypto.randomUUID is missing where a page is served over plain HTTP.
  return `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;
}
