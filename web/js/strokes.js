/**
 * Geometry of strokes, pure. A stroke is a list of [x, y] on a canvas 280 high, in steps of half a pixel;
 * a drawing is a list of strokes. They are the truth: every raster is drawn from them.
 */

/** Height of every canvas, and width of one for a digit. */
export const CANVAS_SIZE = 280;
/** Width of a canvas for a whole number. */
export const WIDE_SIZE = 700;
export const PEN_WIDTH = 20;
export const CROP_MARGIN = 4;

const STEPS_PER_PIXEL = 2;
/** Weight of the point before in the running average that smooths a stroke. */
const SMOOTHING = 0.3;
/** Of a drawing as text: some 20,000 points. */
const MAX_LENGTH = 80_000;
const MAX_STROKES = 500;
const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** Put a point on the grid of half pixels, inside the canvas. */
export function snapPoint([x, y], width = CANVAS_SIZE) {
  const snap = (value, limit) => Math.round(clamp(value, limit) * STEPS_PER_PIXEL) / STEPS_PER_PIXEL;
  return [snap(x, width), snap(y, CANVAS_SIZE)];
}

export function clamp(value, limit) {
  return Math.min(Math.max(value, 0), limit);
}

export function distance([x1, y1], [x2, y2]) {
  return Math.hypot(x2 - x1, y2 - y1);
}

/** Smooth a stroke: each point becomes the weighted average of itself and the smoothed point before. */
export function smoothStroke(stroke) {
  let [x, y] = stroke[0];
  return stroke.map((point) => {
    x = SMOOTHING * x + (1 - SMOOTHING) * point[0];
    y = SMOOTHING * y + (1 - SMOOTHING) * point[1];
    return [x, y];
  });
}

/**
 * The square-edged box around all ink and the margin, in whole pixels inside the canvas; null without ink.
 * A smoothed curve never leaves the hull of its points, so the points and half a pen say where ink can be.
 */
export function inkBox(strokes, margin = CROP_MARGIN) {
  const points = strokes.flat();
  if (points.length === 0) return null;
  const reach = PEN_WIDTH / 2 + 1 + margin;
  const bounds = boundsOf(points);
  const [left, top] = [bounds.left, bounds.top].map((low) => clamp(Math.floor(low - reach), CANVAS_SIZE));
  const [right, bottom] = [bounds.right, bounds.bottom].map((high) => clamp(Math.ceil(high + reach), CANVAS_SIZE));
  return { left, top, width: right - left, height: bottom - top };
}

/** The same strokes in the middle of a digit's canvas, smaller only where they would not fit. */
export function centreStrokes(strokes) {
  const { left, right, top, bottom } = boundsOf(strokes.flat());
  const scale = Math.min(1, CANVAS_SIZE / Math.max(right - left, bottom - top, 1));
  const centred = (value, low, high) => CANVAS_SIZE / 2 + (value - (low + high) / 2) * scale;
  return strokes.map((stroke) => stroke.map(([x, y]) => snapPoint([centred(x, left, right), centred(y, top, bottom)])));
}

export function boundsOf(points) {
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  return { left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys) };
}

/** Cut out of a drawing every part whose centre line comes within `radius` of a point. */
export function eraseAt(strokes, center, radius) {
  return strokes.flatMap((stroke) => (touches(stroke, center, radius) ? cutStroke(stroke, center, radius) : [stroke]));
}

function touches(stroke, center, radius) {
  return stroke.some((point, index) => segmentDistance(stroke[Math.max(index - 1, 0)], point, center) < radius);
}

function segmentDistance(from, to, point) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const along = ((point[0] - from[0]) * dx + (point[1] - from[1]) * dy) / (dx * dx + dy * dy || 1);
  const t = Math.min(Math.max(along, 0), 1);
  return distance([from[0] + t * dx, from[1] + t * dy], point);
}

function cutStroke(stroke, center, radius) {
  const pieces = [[]];
  for (const point of subdivide(stroke)) {
    if (distance(point, center) >= radius) pieces.at(-1).push(point);
    else if (pieces.at(-1).length > 0) pieces.push([]);
  }
  return pieces.filter((piece) => piece.length > 0);
}

/** Insert points so that neighbours are at most three pixels apart; a quick pen leaves wide gaps. */
function subdivide(stroke, step = 3) {
  return stroke.flatMap((point, index) => {
    if (index === 0) return [point];
    const [x, y] = stroke[index - 1];
    const count = Math.max(1, Math.ceil(distance([x, y], point) / step));
    return Array.from({ length: count }, (_, k) => {
      const t = (k + 1) / count;
      return snapPoint([x + t * (point[0] - x), y + t * (point[1] - y)], Infinity);
    });
  });
}

/** Write a drawing as text of [A-Za-z0-9_.-]: each step from point to point as a base-64 varint. */
export function encodeStrokes(strokes) {
  return strokes.map(encodeStroke).join(".");
}

function encodeStroke(stroke) {
  let [px, py] = [0, 0];
  return stroke
    .map(([x, y]) => {
      const [ux, uy] = [x * STEPS_PER_PIXEL, y * STEPS_PER_PIXEL].map(Math.round);
      const text = encodeInteger(ux - px) + encodeInteger(uy - py);
      [px, py] = [ux, uy];
      return text;
    })
    .join("");
}

function encodeInteger(value) {
  let rest = value < 0 ? (-value << 1) | 1 : value << 1;
  let text = "";
  do {
    const low = rest & 31;
    rest >>= 5;
    text += DIGITS[rest > 0 ? low | 32 : low];
  } while (rest > 0);
  return text;
}

/** Can a drawing be read again once it is written? Not without strokes, and not where it is too long. */
export function isPortable(strokes) {
  return strokes.length > 0 && strokes.length <= MAX_STROKES && encodeStrokes(strokes).length <= MAX_LENGTH;
}

/** Read what `encodeStrokes` wrote. Throws RangeError for anything else: links come from strangers. */
export function decodeStrokes(text, width = CANVAS_SIZE) {
  const strokes = text.split(".");
  if (text.length > MAX_LENGTH || strokes.length > MAX_STROKES) throw new RangeError("too long");
  return strokes.map((stroke) => decodeStroke(stroke, width));
}

function decodeStroke(text, width) {
  const numbers = decodeIntegers(text);
  if (numbers.length < 2 || numbers.length % 2 !== 0) throw new RangeError("not a stroke");
  let [x, y] = [0, 0];
  const [right, bottom] = [width * STEPS_PER_PIXEL, CANVAS_SIZE * STEPS_PER_PIXEL];
  return Array.from({ length: numbers.length / 2 }, (_, index) => {
    x += numbers[2 * index];
    y += numbers[2 * index + 1];
    if (x < 0 || y < 0 || x > right || y > bottom) throw new RangeError("outside the canvas");
    return [x / STEPS_PER_PIXEL, y / STEPS_PER_PIXEL];
  });
}

function decodeIntegers(text) {
  const numbers = [];
  let [value, shift] = [0, 0];
  for (const character of text) {
    const digit = DIGITS.indexOf(character);
    if (digit < 0 || shift > 15) throw new RangeError("not base-64 text");
    value |= (digit & 31) << shift;
    shift += 5;
    if (digit & 32) continue;
    numbers.push(value & 1 ? -(value >> 1) : value >> 1);
    [value, shift] = [0, 0];
  }
  if (shift > 0) throw new RangeError("cut short");
  return numbers;
}
