/** Strokes to pixels: for the screen at any size, and for the model always 280 high. */

import { pngFromGrey } from "./png.js";
import { CANVAS_SIZE, PEN_WIDTH, inkBox, smoothStroke } from "./strokes.js";

export const PAPER = "#0a0a0f";
export const INK = "#ffffff";

/** Paint strokes, and below them a picture as large as the canvas, scaled to the height of the backing store. */
export function paintDrawing(context, { strokes, picture = null }, penWidth = PEN_WIDTH) {
  const { width, height } = context.canvas;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = PAPER;
  context.fillRect(0, 0, width, height);
  context.setTransform(height / CANVAS_SIZE, 0, 0, height / CANVAS_SIZE, 0, 0);
  if (picture) {
    // The black around the picture's ink becomes the paper's own colour.
    context.globalCompositeOperation = "lighten";
    context.drawImage(picture, 0, 0);
    context.globalCompositeOperation = "source-over";
  }
  context.strokeStyle = context.fillStyle = INK;
  context.lineWidth = penWidth;
  context.lineCap = context.lineJoin = "round";
  for (const stroke of strokes) paintStroke(context, stroke, penWidth);
}

function paintStroke(context, stroke, penWidth) {
  const points = smoothStroke(stroke);
  const isDot = points.every(([x, y]) => x === points[0][0] && y === points[0][1]);
  context.beginPath();
  if (isDot) {
    // A line of no length draws nothing by the specification, whatever its caps.
    context.arc(...points[0], penWidth / 2, 0, 2 * Math.PI);
    context.fill();
  } else {
    traceCurve(context, points);
    context.stroke();
  }
}

/** Trace quadratic Béziers from midpoint to midpoint, with the points themselves as control points. */
function traceCurve(context, points) {
  context.moveTo(...points[0]);
  for (let index = 1; index < points.length - 1; index += 1) {
    const [x, y] = points[index];
    const [nextX, nextY] = points[index + 1];
    context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
  }
  context.lineTo(...points.at(-1));
}

/** The raster that the model is shown, whatever the screen. */
export function rasterFromDrawing(drawing) {
  const context = createCanvas(drawing.width ?? CANVAS_SIZE, CANVAS_SIZE);
  paintDrawing(context, drawing);
  return context.canvas;
}

/**
 * The raster as a grey PNG, cropped to the ink and its margin: the server's answer is the same bit for bit, and there is
 * less to send and to decode.
 */
export async function imageFromDrawing(drawing) {
  const raster = rasterFromDrawing(drawing);
  const whole = { left: 0, top: 0, width: raster.width, height: raster.height };
  const { left, top, width, height } = drawing.picture ? whole : inkBox(drawing.strokes);
  const { data } = raster.getContext("2d").getImageData(left, top, width, height);
  return pngFromGrey(greyFromColours(data), width, height);
}

/** RGBA to grey as Pillow does on the server: ITU-R 601 in 16-bit fixed point. */
function greyFromColours(data) {
  const grey = new Uint8Array(data.length / 4);
  for (let i = 0; i < grey.length; i += 1) {
    const [red, green, blue] = [data[4 * i], data[4 * i + 1], data[4 * i + 2]];
    grey[i] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
  }
  return grey;
}

function createCanvas(width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  // Kept in main memory: the graphics card's antialiasing differs from machine to machine.
  return canvas.getContext("2d", { alpha: false, willReadFrequently: true });
}
