/** A photograph or any other picture to ink on paper, in the browser: the server sees only the result. */

import { CANVAS_SIZE } from "./strokes.js";

const MAX_FILE_BYTES = 64 * 1024 * 1024;
const DECODE_WIDTH = 800;
const WORK_SIZE = 360;
const INK_SIZE = 200;
/** Grey levels between ink and paper below which there is nothing to be seen. */
const MIN_CONTRAST = 24;
/** Specks smaller than this share of the largest patch of ink are dirt. */
const SPECK_SHARE = 0.04;

/** `kind` is "not-an-image", "too-large" or "no-ink". */
export class PictureError extends Error {
  constructor(kind) {
    super(kind);
    this.kind = kind;
  }
}

/**
 * Clean a picture: { steps: [original, evened, ink], picture }, canvases; the last is `width` x 280, bright ink on black.
 * Throws PictureError.
 */
export async function cleanPicture(file, width = CANVAS_SIZE) {
  const original = await decode(file);
  const grey = greyLevels(original);
  const ink = inkLevels(grey, isInkDark(grey));
  const strength = sharpen(ink);
  dropSpecks(strength);
  const found = canvasFromLevels(strength);
  return { steps: [original.canvas, canvasFromLevels(stretch(ink)), found], picture: centred(found, strength, width) };
}

async function decode(file) {
  if (file.size > MAX_FILE_BYTES) throw new PictureError("too-large");
  const options = { resizeWidth: DECODE_WIDTH, resizeQuality: "medium" };
  const bitmap = await sourceOf(file)
    .then((source) => createImageBitmap(source, options))
    .catch(() => {
      throw new PictureError("not-an-image");
    });
  const scale = WORK_SIZE / Math.max(bitmap.width, bitmap.height);
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const context = createContext(width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return context;
}

/** A picture made of lines is drawn first: browsers decode it as an element only, and it need not have a size. */
async function sourceOf(file) {
  if (file.type !== "image/svg+xml") return file;
  const image = Object.assign(new Image(), { src: URL.createObjectURL(file) });
  await image.decode().finally(() => URL.revokeObjectURL(image.src));
  const context = createContext(DECODE_WIDTH, Math.round((DECODE_WIDTH * image.height) / image.width));
  context.drawImage(image, 0, 0, context.canvas.width, context.canvas.height);
  return context.canvas;
}

/** ITU-R 601 levels; what is transparent becomes the opposite of what is not. */
function greyLevels(context) {
  const { width, height } = context.canvas;
  const { data } = context.getImageData(0, 0, width, height);
  const count = width * height;
  const channel = (i, offset) => data[4 * i + offset];
  const luminance = (_, i) => 0.299 * channel(i, 0) + 0.587 * channel(i, 1) + 0.114 * channel(i, 2);
  const luma = Float32Array.from({ length: count }, luminance);
  const alpha = Float32Array.from({ length: count }, (_, i) => channel(i, 3) / 255);
  const opaque = alpha.reduce((sum, each) => sum + each, 0);
  const mean = luma.reduce((sum, each, i) => sum + each * alpha[i], 0) / Math.max(opaque, 1);
  const ground = mean < 128 ? 255 : 0;
  return { width, height, levels: luma.map((each, i) => each * alpha[i] + ground * (1 - alpha[i])) };
}

/** The border is paper: ink lies on the side of it where the levels reach further. */
function isInkDark({ width, height, levels }) {
  const border = levels.filter((_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    return x === 0 || y === 0 || x === width - 1 || y === height - 1;
  });
  const [low, high] = [quantile(levels, 0.02), quantile(levels, 0.98)];
  const paper = quantile(border, 0.5);
  return paper - low > high - paper;
}

function quantile(values, share) {
  return values.toSorted()[Math.floor(share * (values.length - 1))];
}

/** How far each pixel is from the paper around it, towards ink; shadows fall on ink and paper alike. */
function inkLevels({ width, height, levels }, isDark) {
  const sign = isDark ? 1 : -1;
  const radius = Math.ceil(Math.max(width, height) / 6);
  const all = new Float32Array(levels.length).fill(1);
  const rough = localMean(levels, all, width, height, radius);
  const isPaper = all.map((_, i) => (sign * (rough[i] - levels[i]) <= 0 ? 1 : 0));
  const paper = localMean(levels, isPaper, width, height, radius);
  return { width, height, levels: levels.map((level, i) => Math.max(0, sign * (paper[i] - level))) };
}

/** Weighted mean over a square around each pixel, by sums over rectangles from the corner. */
function localMean(levels, weights, width, height, radius) {
  const weighted = summedArea(levels.map((level, i) => level * weights[i]), width, height);
  const weight = summedArea(weights, width, height);
  return levels.map((level, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    const [left, top] = [x - radius, y - radius].map((edge) => Math.max(edge, 0));
    const box = [left, top, Math.min(x + radius + 1, width), Math.min(y + radius + 1, height)];
    const total = boxSum(weight, width, box);
    return total > 0 ? boxSum(weighted, width, box) / total : level;
  });
}

function summedArea(values, width, height) {
  const sums = new Float64Array((width + 1) * (height + 1));
  for (let y = 0; y < height; y += 1) {
    let row = 0;
    for (let x = 0; x < width; x += 1) {
      row += values[y * width + x];
      sums[(y + 1) * (width + 1) + x + 1] = sums[y * (width + 1) + x + 1] + row;
    }
  }
  return sums;
}

function boxSum(sums, width, [left, top, right, bottom]) {
  const at = (x, y) => sums[y * (width + 1) + x];
  return at(right, bottom) - at(left, bottom) - at(right, top) + at(left, top);
}

/** Ink to 255 and paper to 0, with a narrow ramp in between. Throws where the two cannot be told apart. */
function sharpen({ width, height, levels }) {
  const { threshold, contrast } = splitLevels(levels);
  if (contrast < MIN_CONTRAST) throw new PictureError("no-ink");
  const [from, to] = [threshold * 0.7, threshold * 1.3];
  const sharp = levels.map((level) => Math.min(Math.max((level - from) / (to - from), 0), 1) * 255);
  return { width, height, levels: sharp };
}

/** The threshold that separates two groups best. Source: N. Otsu, 1979. */
function splitLevels(levels) {
  const counts = new Uint32Array(256);
  for (const level of levels) counts[Math.min(255, Math.round(level))] += 1;
  const total = counts.reduce((sum, count, level) => sum + count * level, 0);
  let best = { threshold: 0, contrast: 0, spread: -1 };
  let [below, sumBelow] = [0, 0];
  for (let level = 0; level < 255; level += 1) {
    below += counts[level];
    sumBelow += counts[level] * level;
    const above = levels.length - below;
    if (below === 0 || above === 0) continue;
    const contrast = (total - sumBelow) / above - sumBelow / below;
    const spread = below * above * contrast ** 2;
    if (spread > best.spread) best = { threshold: level + 0.5, contrast, spread };
  }
  return best;
}

/** Clear every patch of ink that is tiny beside the largest. */
function dropSpecks({ width, levels }) {
  const patches = findPatches(width, levels);
  const largest = Math.max(...patches.map((patch) => patch.length), 0);
  if (largest === 0) throw new PictureError("no-ink");
  for (const patch of patches.filter(({ length }) => length < SPECK_SHARE * largest)) {
    for (const index of patch) levels[index] = 0;
  }
}

function findPatches(width, levels) {
  const seen = new Uint8Array(levels.length);
  const patches = [];
  for (let start = 0; start < levels.length; start += 1) {
    if (seen[start] || levels[start] === 0) continue;
    const patch = [start];
    seen[start] = 1;
    // The patch grows while it is walked.
    for (const index of patch) {
      const x = index % width;
      const sides = [index - width, index + width, x > 0 ? index - 1 : -1, x < width - 1 ? index + 1 : -1];
      for (const next of sides) {
        if (seen[next] !== 0 || levels[next] === 0) continue;
        seen[next] = 1;
        patch.push(next);
      }
    }
    patches.push(patch);
  }
  return patches;
}

/** The levels as far as they go, for the eye. */
function stretch({ width, height, levels }) {
  const top = Math.max(quantile(levels, 0.995), 1);
  return { width, height, levels: levels.map((level) => Math.min(255, (level / top) * 255)) };
}

function canvasFromLevels({ width, height, levels }) {
  const context = createContext(width, height);
  const image = context.createImageData(width, height);
  levels.forEach((level, i) => image.data.set([level, level, level, 255], 4 * i));
  context.putImageData(image, 0, 0);
  return context.canvas;
}

/** The ink in the middle of a canvas of the usual size, as large as is usual. */
function centred(canvas, { width, levels }, paperWidth) {
  const inked = [...levels.keys()].filter((i) => levels[i] > 0);
  const widen = ([low, high], value) => [Math.min(low, value), Math.max(high, value)];
  const span = (values) => values.reduce(widen, [Infinity, -Infinity]);
  const [left, right] = span(inked.map((i) => i % width));
  const [top, bottom] = span(inked.map((i) => Math.floor(i / width)));
  const [boxWidth, boxHeight] = [right - left + 1, bottom - top + 1];
  const scale = Math.min(INK_SIZE / boxHeight, (paperWidth - CANVAS_SIZE + INK_SIZE) / boxWidth);
  const context = createContext(paperWidth, CANVAS_SIZE);
  context.fillRect(0, 0, paperWidth, CANVAS_SIZE);
  context.imageSmoothingQuality = "high";
  context.translate(paperWidth / 2, CANVAS_SIZE / 2);
  context.scale(scale, scale);
  context.drawImage(canvas, left, top, boxWidth, boxHeight, -boxWidth / 2, -boxHeight / 2, boxWidth, boxHeight);
  return context.canvas;
}

function createContext(width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  return canvas.getContext("2d", { willReadFrequently: true });
}
