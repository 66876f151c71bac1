/** The drawing and its past: every change can be undone, clearing included. */

const MAX_STEPS = 200;
const BLANK = Object.freeze({ id: null, picture: null, strokes: Object.freeze([]) });

export class Drawing {
  #past = [];
  #present = BLANK;
  #future = [];

  /** { id, picture, strokes }: strokes, and below them a cleaned picture where one was opened. */
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
    this.#change({ id: this.id ?? newId(), picture: this.picture, strokes });
  }

  /** Another drawing: strokes, or a cleaned picture. */
  open({ strokes = [], picture = null }) {
    this.#change({ id: newId(), picture, strokes });
  }

  clear() {
    if (!this.isBlank) this.#change(BLANK);
  }

  #change(content) {
    this.#past = [...this.#past.slice(1 - MAX_STEPS), this.#present];
    this.#present = content.strokes.length > 0 || content.picture ? content : BLANK;
    this.#future = [];
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
