/** The last 20 drawings, as compact strokes in this browser's storage, shared by its tabs. */

import { keepFocus } from "./focus.js";
import { paintDrawing } from "./render.js";
import { CANVAS_SIZE, WIDE_SIZE, decodeStrokes, encodeStrokes } from "./strokes.js";
import { follow, keep, recall } from "./storage.js";
import { text } from "./strings.js";

const MAX_ENTRIES = 20;
const THUMBNAIL_HEIGHT = 72;
const THUMBNAIL_PEN_WIDTH = 24;

export class History {
  #entries;
  #find;
  #onOpen;
  #isSaved = true;

  constructor(find, onOpen) {
    this.#find = find;
    this.#onOpen = onOpen;
    this.#entries = load();
    find("clear-history").addEventListener("click", () => this.#clear());
    follow("history", () => {
      this.#entries = load();
      this.#render();
    });
    this.#render();
  }

  /** Is this very drawing there? To look at it again changes nothing. */
  holds({ id, strokes }) {
    const encoded = encodeStrokes(strokes);
    return this.#entries.some((entry) => entry.id === id && entry.strokes === encoded);
  }

  /** The name under which a drawing like this is there. */
  nameOf({ strokes, width }) {
    const encoded = encodeStrokes(strokes);
    return this.#entries.find((entry) => entry.strokes === encoded && drawingOf(entry).width === width)?.id;
  }

  /**
   * Keep a drawing and its answer, a digit or a number, whose confidence is null where the user has said it; a drawing
   * that is already there is brought up to date, and one that is too long is not kept.
   */
  record({ id, strokes }, { digit, number, confidence }) {
    const entry = { id, strokes: encodeStrokes(strokes), digit, number, confidence };
    if (!isEntry(entry)) return;
    // Another tab may have written since: its drawings are kept.
    const others = (this.#isSaved ? load() : this.#entries).filter((each) => each.id !== id);
    this.#store([entry, ...others].slice(0, MAX_ENTRIES));
  }

  #clear() {
    if (!confirm(text.clearHistoryQuestion(this.#entries.length))) return;
    keepFocus(
      () => this.#store([]),
      () => this.#find("history-empty"),
    );
  }

  #store(entries) {
    this.#entries = entries;
    this.#isSaved = keep("history", entries);
    this.#render();
  }

  #render() {
    this.#find("history").replaceChildren(...this.#entries.map((entry) => this.#item(entry)));
    this.#find("history-empty").hidden = this.#entries.length > 0;
    this.#find("clear-history").hidden = this.#entries.length === 0;
    this.#find("history-problem").hidden = this.#isSaved;
    this.#find("history-problem").textContent = text.historyNotSaved;
  }

  #item(entry) {
    const item = document.createElement("li");
    const button = item.appendChild(document.createElement("button"));
    const drawing = drawingOf(entry);
    const answer = entry.number ?? entry.digit;
    item.classList.toggle("wide", drawing.width === WIDE_SIZE);
    button.type = "button";
    const likely = entry.confidence === null ? text.byYou : text.roundPercent(entry.confidence);
    button.ariaLabel = text.openEntry(answer, likely);
    button.append(thumbnail(drawing), caption(answer, likely));
    button.addEventListener("click", () => this.#onOpen(drawing));
    return item;
  }
}

function drawingOf({ id, strokes, number }) {
  const width = number === undefined ? CANVAS_SIZE : WIDE_SIZE;
  return { id, strokes: decodeStrokes(strokes, width), width };
}

function thumbnail(drawing) {
  const height = Math.round(THUMBNAIL_HEIGHT * devicePixelRatio);
  const width = Math.round((height * drawing.width) / CANVAS_SIZE);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  paintDrawing(canvas.getContext("2d", { alpha: false }), drawing, THUMBNAIL_PEN_WIDTH);
  return canvas;
}

function caption(read, likely) {
  const line = document.createElement("span");
  const [answer, share] = ["b", "small"].map((tag) => document.createElement(tag));
  answer.textContent = read;
  share.textContent = likely;
  line.append(answer, share);
  return line;
}

/** The entries that can be read. */
function load() {
  const entries = recall("history");
  return Array.isArray(entries) ? entries.filter(isEntry) : [];
}

function isEntry(entry) {
  try {
    const isAnswered = entry.number === undefined ? Number.isInteger(entry.digit) : /^\d+$/.test(entry.number);
    return drawingOf(entry).strokes.length > 0 && isAnswered && entry.confidence <= 1;
  } catch {
    return false;
  }
}
