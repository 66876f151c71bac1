/** Pointer events to strokes, and the drawing on the screen. One pointer draws at a time. */

import { PAPER, paintDrawing } from "./render.js";
import { CANVAS_SIZE, PEN_WIDTH, distance, eraseAt, snapPoint } from "./strokes.js";

const MIN_STEP = 1;
const ERASER_RADIUS = 16;
const ERASER_BUTTON = 32;
const CURSOR_COLOUR = "#8fd9c0";
const REPLAY_MS = 700;

/**
 * Reports `onChange(strokes)` while the pen is down and `onCommit(strokes)` when it is lifted, or `onNothing()` where
 * the drawing is then what it was before.
 */
export class Pad {
  tool = "pen";
  penOnly = false;
  /** On the screen; what the model is shown is always drawn with the same pen. */
  penWidth = PEN_WIDTH;
  #context;
  /** { strokes, picture, width } */
  #shown = { strokes: [], picture: null, width: CANVAS_SIZE };
  #gesture = null;
  #cursor = null;
  #frame = 0;
  #replay = null;

  constructor(canvas, { onChange, onCommit, onNothing, onPenSeen }) {
    this.canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false });
    Object.assign(this, { onChange, onCommit, onNothing, onPenSeen });
    this.#listen();
    new ResizeObserver(() => this.repaint()).observe(canvas);
  }

  /** Show a drawing; a stroke in progress is dropped. */
  show(drawing) {
    this.#gesture = null;
    this.#replay = null;
    this.#shown = drawing;
    this.repaint();
  }

  /** Show a drawing as it came about, stroke by stroke. */
  replay(drawing) {
    this.show(drawing);
    this.#replay = { start: performance.now(), total: drawing.strokes.flat().length };
    this.repaint();
  }

  get width() {
    return this.#shown.width;
  }

  get isDrawing() {
    return this.#gesture !== null;
  }

  /** Ring around the point where the keyboard's pen or the eraser is; null hides it. */
  showCursor(point) {
    this.#cursor = point;
    this.repaint();
  }

  /** Put the pen, or whatever tool is chosen, on the paper. */
  begin(point, { tool = this.tool, pointerId = null, pointerType = "" } = {}) {
    this.#replay = null;
    this.#gesture = { tool, pointerId, pointerType, stroke: [], strokes: this.#shown.strokes };
    this.extend([point]);
  }

  /** Move it through these points. */
  extend(points) {
    for (const point of points) this.#apply(snapPoint(point, this.width));
    this.repaint();
    this.onChange(this.#gesture.strokes);
  }

  /** Lift it. */
  finish() {
    if (!this.#gesture) return;
    const { strokes } = this.#gesture;
    const before = this.#shown.strokes;
    const isSame = strokes.length === before.length && strokes.every((stroke, index) => stroke === before[index]);
    this.show({ ...this.#shown, strokes });
    if (isSame) this.onNothing();
    else this.onCommit(strokes);
  }

  #apply(point) {
    const gesture = this.#gesture;
    if (gesture.tool === "eraser") {
      gesture.strokes = eraseAt(gesture.strokes, point, ERASER_RADIUS);
      this.#cursor = point;
    } else if (gesture.stroke.length === 0 || distance(gesture.stroke.at(-1), point) >= MIN_STEP) {
      gesture.stroke = [...gesture.stroke, point];
      gesture.strokes = [...this.#shown.strokes, gesture.stroke];
    }
  }

  #listen() {
    const on = (type, handler) => this.canvas.addEventListener(type, handler);
    on("pointerdown", (event) => this.#pointerDown(event));
    on("pointermove", (event) => this.#pointerMove(event));
    for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) {
      on(type, (event) => this.#owns(event) && this.finish());
    }
    // Drawing does not move the focus: its ring around the paper is for those who come by keyboard.
    on("mousedown", (event) => event.preventDefault());
    on("pointerleave", () => this.#cursor && this.showCursor(null));
    addEventListener("blur", () => this.finish());
  }

  #pointerDown(event) {
    if (event.pointerType === "pen") this.#acceptPen();
    if (this.#gesture || event.button > 0 && !(event.buttons & ERASER_BUTTON)) return;
    if (this.penOnly && event.pointerType === "touch") return;
    const { pointerId, pointerType } = event;
    this.canvas.setPointerCapture(pointerId);
    const tool = event.buttons & ERASER_BUTTON ? "eraser" : this.tool;
    this.begin(this.#pointOf(event), { tool, pointerId, pointerType });
  }

  /** A pen has come: a touch in progress is the palm of the hand that holds it. */
  #acceptPen() {
    if (this.#gesture?.pointerType === "touch") {
      this.show(this.#shown);
      this.onNothing();
    }
    this.onPenSeen();
  }

  #pointerMove(event) {
    if (this.#owns(event)) {
      // Without a button down the release was lost, outside the window for example.
      if (event.buttons === 0) this.finish();
      else this.extend(coalesced(event).map((each) => this.#pointOf(each)));
    } else if (this.tool === "eraser" && event.pointerType !== "touch") {
      this.showCursor(this.#pointOf(event));
    }
  }

  #owns(event) {
    return this.#gesture !== null && this.#gesture.pointerId === event.pointerId;
  }

  #pointOf(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = CANVAS_SIZE / box.height;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  /** Paint in the next frame. */
  repaint() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#fitToScreen();
      const strokes = this.#gesture?.strokes ?? this.#replayed() ?? this.#shown.strokes;
      paintDrawing(this.#context, { ...this.#shown, strokes }, this.penWidth);
      if (this.#cursor) this.#paintCursor();
    });
  }

  /** The part of the drawing that a replay has come to, if there is one. */
  #replayed() {
    if (!this.#replay) return null;
    const share = (performance.now() - this.#replay.start) / REPLAY_MS;
    if (share >= 1) return (this.#replay = null);
    this.repaint();
    return firstPoints(this.#shown.strokes, Math.ceil(share * this.#replay.total));
  }

  #fitToScreen() {
    const { canvas } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.round(side * devicePixelRatio));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  }

  /** A light ring in a dark one: to be seen on paper and on ink. */
  #paintCursor() {
    const radius = this.tool === "eraser" ? ERASER_RADIUS : PEN_WIDTH / 2;
    this.#context.beginPath();
    this.#context.arc(...this.#cursor, radius, 0, 2 * Math.PI);
    for (const [width, colour] of [[5, PAPER], [2, CURSOR_COLOUR]]) {
      this.#context.lineWidth = width;
      this.#context.strokeStyle = colour;
      this.#context.stroke();
    }
  }
}

/** The beginning of a drawing, so many points of it. */
function firstPoints(strokes, count) {
  let left = count;
  return strokes.flatMap((stroke) => {
    const begun = stroke.slice(0, Math.max(left, 0));
    left -= stroke.length;
    return begun.length > 0 ? [begun] : [];
  });
}

/** Every position since the last event; browsers hand them out in secure contexts only. */
function coalesced(event) {
  const events = event.getCoalescedEvents?.() ?? [];
  return events.length > 0 ? events : [event];
}
