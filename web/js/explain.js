/**
 * What mattered: the picture that the model read is asked about again, with one patch of it taken away or filled in
 * at a time, all in one batch. Source: occlusion sensitivity, M. Zeiler and R. Fergus, 2014.
 */

const FRAME = 28;
const PATCH = 4;
const SIDE = FRAME / PATCH;
const PATCHES = SIDE * SIDE;
/** Differences of logits below this are noise to the reader. */
const MIN_EFFECT = 0.5;

/** The grey levels of a 28x28 PNG in base64, 0 to 1. */
export async function levelsFromImage(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const context = Object.assign(document.createElement("canvas"), { width: FRAME, height: FRAME }).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, FRAME, FRAME);
  return Array.from({ length: FRAME * FRAME }, (_, i) => data[4 * i] / 255);
}

/** The batch: the picture itself, then each patch emptied, then each patch inked. */
export function variantsOf(levels) {
  const patchOf = (i) => Math.floor(Math.floor(i / FRAME) / PATCH) * SIDE + Math.floor((i % FRAME) / PATCH);
  const painted = (patch, value) => levels.map((level, i) => (patchOf(i) === patch ? value : level));
  const patches = Array.from({ length: PATCHES }, (_, patch) => patch);
  return [levels, ...patches.map((patch) => painted(patch, 0)), ...patches.map((patch) => painted(patch, 1))];
}

/**
 * How much each of 49 patches did for `digit` against `rival`: `ink` by being there, `gap` by being empty.
 * `logits` are the answers to `variantsOf`.
 */
export function effectsOf(logits, digit, rival) {
  const margins = logits.map((row) => row[digit] - row[rival]);
  const lost = margins.slice(1).map((margin) => Math.max(0, margins[0] - margin));
  return { ink: lost.slice(0, PATCHES), gap: lost.slice(PATCHES) };
}

/** The patch with the greatest effect, as { row, column } of three by three; null where none has any to speak of. */
export function strongest(effects) {
  const most = Math.max(...effects);
  if (most < MIN_EFFECT) return null;
  const index = effects.indexOf(most);
  const third = (position) => Math.min(2, Math.floor((position * 3) / SIDE));
  return { row: third(Math.floor(index / SIDE)), column: third(index % SIDE) };
}

/** Paint the picture, its ink coloured by what it did, and frames around the empty patches that mattered. */
export function paintEffects(canvas, levels, { ink, gap }, [red, green, blue]) {
  const scale = canvas.width / FRAME;
  const context = canvas.getContext("2d");
  context.fillStyle = "#000000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  const most = Math.max(...ink, ...gap, MIN_EFFECT);
  levels.forEach((level, i) => {
    const [x, y] = [i % FRAME, Math.floor(i / FRAME)];
    const share = ink[Math.floor(y / PATCH) * SIDE + Math.floor(x / PATCH)] / most;
    const mix = (colour) => Math.round(level * (share * colour + (1 - share) * 150));
    context.fillStyle = `rgb(${mix(red)} ${mix(green)} ${mix(blue)})`;
    context.fillRect(x * scale, y * scale, scale, scale);
  });
  context.lineWidth = 2;
  gap.forEach((effect, patch) => {
    if (effect < most / 3) return;
    const size = PATCH * scale;
    context.strokeStyle = `rgb(${red} ${green} ${blue} / ${effect / most})`;
    context.setLineDash([4, 4]);
    context.strokeRect((patch % SIDE) * size + 2, Math.floor(patch / SIDE) * size + 2, size - 4, size - 4);
  });
}
