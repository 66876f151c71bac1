/** Every word on the page, in one place. To translate: replace the values, and `LOCALE`. */

const LOCALE = "en";

const percent = new Intl.NumberFormat(LOCALE, { style: "percent", maximumFractionDigits: 1 });
const roundPercent = new Intl.NumberFormat(LOCALE, { style: "percent" });
const plural = new Intl.PluralRules(LOCALE);
const both = new Intl.ListFormat(LOCALE, { type: "conjunction" });
const either = new Intl.ListFormat(LOCALE, { type: "disjunction" });

/** Put into elements marked `data-text`, and as `data-label` into their aria-label. */
export const labels = {
  tagline: "Draw a digit or a number. It is read while you draw.",
  mode: "What you draw",
  modeDigit: "One digit",
  modeNumber: "Whole number",
  padHeading: "Your drawing",
  pad: "Drawing area",
  padHelp: "Draw with a mouse, a finger or a pen. With the keyboard: arrow keys move the pen, Shift makes smaller steps, Space lowers and lifts it. Escape clears.",
  hint: "Draw a digit",
  tools: "Drawing tools",
  undo: "Undo",
  redo: "Redo",
  eraser: "Eraser",
  clear: "Clear",
  ways: "Other ways in and out",
  sample: "Sample",
  picture: "Picture",
  camera: "Camera",
  share: "Share",
  pictureFile: "A picture of a digit",
  touchAllowed: "Draw with fingers, too",
  penWidth: "Pen, on your screen only",
  reading: "Reading",
  confidence: "Confidence",
  candidates: "Other readings",
  digits: "Digit by digit",
  alternatives: "Perhaps it is",
  key: "Key for this server",
  useKey: "Use it",
  tryAgain: "Try again",
  debug: "What the model saw",
  crop: "Your ink, cropped",
  final: "What the model reads, 28 × 28",
  rival: "Why not",
  rivalEnd: "?",
  correct: "Put it right",
  thisWasA: "This was a",
  consent: "Send what I put right to this server, too: the strokes, the right digit, what was answered and when, but nothing about me. A person checks it before a model learns from it.",
  saveCorrections: "Save as a file",
  loadCorrections: "Load a file",
  deleteCorrections: "Delete all",
  correctionsFile: "A file of drawings",
  cleaning: "How your picture was cleaned",
  pictureOriginal: "Your picture",
  pictureEvened: "Evened out",
  pictureInk: "The ink that was found",
  history: "Earlier drawings",
  historyEmpty: "Your last 20 drawings will be kept here, in this browser only; pictures are not.",
  clearHistory: "Clear history",
  shortcuts: "Keys: Escape or Alt+C clears, Ctrl+Z undoes, Ctrl+Shift+Z redoes, Alt+D shows what the model saw. Pictures can be pasted or dropped anywhere.",
  privacy: "Drawings stay in this browser. The server is shown the drawing, answers, and keeps nothing, unless you agree to send what you put right.",
};

export const connection = {
  checking: "Connecting",
  online: "Connected",
  offline: "Offline",
  unreachable: "Server unreachable",
  trouble: "Server in trouble",
  "no-model": "No model on the server",
};

export const text = {
  /** Never 100% and never 0%: the model is not that sure. */
  percent(value) {
    if (value > 0.999) return `> ${percent.format(0.999)}`;
    return value < 0.001 ? `< ${percent.format(0.001)}` : percent.format(value);
  },
  roundPercent: (value) => roundPercent.format(Math.min(value, 0.99)),
  candidate: (digit) => (digit === undefined ? "No reading yet" : `Probability of ${digit}`),
  model(name, version, parity) {
    const verdict = { agree: ", agrees with TensorFlow", disagree: ", disagrees with TensorFlow" }[parity] ?? "";
    return `Model: ${name}, version ${version}${verdict}.`;
  },
  hintNumber: "Write a number",
  blank: "The answer appears here.",
  unread: "Not read yet.",
  cleared: "Cleared. Undo brings it back.",
  announce: (digit, value, words) => `${digit}, ${text.percent(value)}. ${words}`,
  sure: "No doubt about it.",
  fairlySure: "Fairly sure.",
  probably: (first, second) => `Probably ${first}, perhaps ${second}.`,
  torn: (digits) => `Not sure: it could be ${either.format(digits.map(String))}.`,
  openEntry: (digit, share) => `Open the drawing read as ${digit}, ${share}`,
  latency: (milliseconds) => `Answered ${Math.round(milliseconds)} ms after the pen was lifted.`,
  influence: (digit, rival) => `What speaks for ${digit} rather than ${rival}`,
  /** `ink` and `gap` are { row, column } of three by three, or null. */
  mattered(digit, rival, ink, gap) {
    const reasons = [ink && `the ink ${place(ink)}`, gap && `the empty space ${place(gap)}`].filter(Boolean);
    if (reasons.length === 0) return `No single part makes it ${digit} rather than ${rival}.`;
    return `It is ${digit} rather than ${rival} mostly for ${both.format(reasons)}.`;
  },
  penDown: "Pen down",
  penUp: "Pen up",
  linkCopied: "Link copied.",
  linkInAddress: "The link is in the address bar.",
  badLink: "This link holds no drawing that can be read.",
  corrected: (labels) => `Kept as ${digits(labels)}, in this browser.`,
  correctionSent: (labels) => `Kept as ${digits(labels)}, and sent. Thank you.`,
  correctionSentOnly: (labels) => `Sent as ${digits(labels)}, but this browser does not let the page keep it.`,
  correctionNotSent: (labels, detail) => `Kept as ${digits(labels)}, but not sent${detail ? `: ${detail}` : ""}.`,
  which: (place, count) => `Digit ${place} of ${count}.`,
  byYou: "by you",
  digitOf: (place, digit, share) => `Digit ${place}: ${digit}, ${share}. Put it right`,
  takeAs: (number, share) => `Take it as ${number}, ${share}`,
  takenAs: (number) => `Taken as ${number}.`,
  notKept: "This browser does not let the page keep it.",
  deleteQuestion: (count) => `Delete ${drawings(count)} that you put right? Only a file that you saved brings them back.`,
  clearHistoryQuestion: (count) => `Forget ${drawings(count)}? Nothing brings them back.`,
  corrections: (count) => `${drawings(count)} put right so far.`,
  loaded: (count) => `Loaded: ${count}.`,
  notLoaded: (name) => `${name} is not a file of drawings, or there is no room for it.`,
  historyNotSaved: "This browser does not let the page keep drawings: they last until you close it.",
};

export const partProblems = {
  network: "This part of the page cannot be fetched. Try again when the server can be reached.",
  timeout: "This part of the page takes too long to come. Try again.",
};

export const pictureProblems = {
  "not-an-image": "This file is not a picture that your browser can read.",
  "too-large": "This file is larger than 64 MB.",
  "no-ink": "No digit can be made out in this picture.",
  ...partProblems,
};

function drawings(count) {
  return plural.select(count) === "one" ? "1 drawing" : `${count} drawings`;
}

function digits(labels) {
  return labels.length === 1 ? `a ${labels[0]}` : both.format(labels);
}

function place({ row, column }) {
  return [
    ["at the top left", "at the top", "at the top right"],
    ["on the left", "in the middle", "on the right"],
    ["at the bottom left", "at the bottom", "at the bottom right"],
  ][row][column];
}

/** What to say about a failed request; the server's own words where it has some. */
export function describeError({ kind, status, detail, retryAfterS }) {
  if (kind === "timeout") return "The server takes too long to answer. Your drawing is kept.";
  if (kind === "network") return "The server cannot be reached. Your drawing is kept and will be read when it is back.";
  if (status === 401) return "This server answers only those who have a key. What you give here stays in this tab.";
  const words = detail ? `${detail[0].toUpperCase()}${detail.slice(1)}.`.replace("..", ".") : "";
  if (Number.isFinite(retryAfterS)) return `${words || "The server is busy."} Trying again in ${Math.ceil(retryAfterS)} s.`;
  return words || `The server answered with an error (${status}).`;
}
