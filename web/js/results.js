/** The answer on the page: digit or number, confidence, the five best, what the model saw, and what went wrong. */

import { keepFocus } from "./focus.js";
import { describeError, text } from "./strings.js";

const CANDIDATES = 5;
const ANNOUNCE_AFTER_MS = 800;
/** Below the first the answer is hedged; above the last it is said without reserve. */
const UNSURE_BELOW = 0.6;
const FAIRLY_SURE_FROM = 0.85;
const SURE_FROM = 0.97;

export class Results {
  #announcement = 0;
  #rows;

  /** `find(id)` gives the page's elements. */
  constructor(find) {
    this.find = find;
    this.#rows = Array.from({ length: CANDIDATES }, () => this.#addRow());
    this.showBlank();
  }

  showBusy(busy) {
    this.find("answer").toggleAttribute("data-busy", busy);
  }

  showBlank() {
    this.hideError();
    this.#showNothing(text.blank);
  }

  /** There is a drawing, but no answer to it: an older one would mislead. Why there is none is for `showError`. */
  showUnread() {
    this.#showNothing(text.unread);
  }

  #showNothing(words) {
    this.find("answer").dataset.state = "blank";
    this.find("digit").textContent = "";
    this.find("confidence").textContent = "";
    this.find("words").textContent = words;
    this.find("confidence-meter").value = 0;
    this.#rows.forEach((row) => fillRow(row, null));
    this.#showImages({});
    this.hideLatency();
    clearTimeout(this.#announcement);
  }

  showAnswer(answer, request) {
    const { digit, confidence, uncertain, top_predictions: top } = answer;
    const others = top.slice(1).map((each) => ({ value: each.digit, confidence: each.confidence }));
    this.showReadings([{ value: digit, confidence }, ...others], request, uncertain);
    this.#rows.forEach((row, index) => fillRow(row, top[index] ?? null));
    this.#showImages(answer);
  }

  /** What was read and what else it may be, [{ value, confidence }], the best first. */
  showReadings([best, ...others], { settled }, uncertain = best.confidence < UNSURE_BELOW) {
    const words = uncertain ? doubtInWords(best, others) : certaintyInWords(best, others);
    this.hideError();
    this.find("answer").dataset.state = uncertain ? "unsure" : "answered";
    this.find("digit").textContent = best.value;
    this.find("confidence").textContent = text.percent(best.confidence);
    this.find("confidence-meter").value = best.confidence;
    this.find("words").textContent = words;
    if (settled) this.announce(text.announce(best.value, best.confidence, words), ANNOUNCE_AFTER_MS);
  }

  /** What the user says it is: the model's confidence is about something else. */
  showChosen(value) {
    this.hideError();
    this.find("answer").dataset.state = "answered";
    this.find("digit").textContent = value;
    this.find("confidence").textContent = text.byYou;
    this.find("confidence-meter").value = 0;
    this.find("words").textContent = text.takenAs(value);
  }

  showError(error) {
    const needsKey = error.status === 401;
    this.showProblem(describeError(error), { canRetry: !needsKey, needsKey });
  }

  showProblem(message, { canRetry = false, needsKey = false } = {}) {
    this.find("notice-text").textContent = message;
    this.#showNotice(true, { canRetry, needsKey });
    this.announce(message);
  }

  hideError() {
    this.#showNotice(false);
  }

  #showNotice(isShown, { canRetry = false, needsKey = false } = {}) {
    const change = () => {
      this.find("notice").hidden = !isShown;
      this.find("try-again").hidden = !canRetry;
      this.find("key-form").hidden = !needsKey;
    };
    keepFocus(change, () => this.find((canRetry && "try-again") || (needsKey && "key") || "pad"));
  }

  hideLatency() {
    this.find("latency").textContent = "";
  }

  showLatency(milliseconds) {
    this.find("latency").textContent = text.latency(milliseconds);
  }

  /** Say something to users of a screen reader; what has not been said yet is dropped. */
  announce(message, delay = 0) {
    clearTimeout(this.#announcement);
    this.#announcement = setTimeout(() => {
      this.find("announcer").textContent = message;
    }, delay);
  }

  #showImages({ cropped_image: cropped, final_image: final }) {
    for (const [id, png] of [["cropped-image", cropped], ["final-image", final]]) {
      const image = this.find(id);
      image.hidden = !png;
      if (png) image.src = `data:image/png;base64,${png}`;
    }
  }

  #addRow() {
    const row = document.createElement("li");
    const [digit, meter, share] = ["b", "meter", "span"].map((tag) => document.createElement(tag));
    share.className = "share";
    row.append(digit, meter, share);
    this.find("candidates").append(row);
    return { digit, meter, share };
  }
}

function fillRow({ digit, meter, share }, candidate) {
  digit.textContent = candidate?.digit ?? "";
  meter.value = candidate?.confidence ?? 0;
  meter.ariaLabel = text.candidate(candidate?.digit);
  share.textContent = candidate ? text.percent(candidate.confidence) : "";
}

function doubtInWords(best, others) {
  const close = others.slice(0, 2).filter(({ confidence }) => confidence >= best.confidence / 3);
  const named = close.length > 0 ? close : others.slice(0, 1);
  return text.torn([best, ...named].map(({ value }) => value));
}

function certaintyInWords(best, others) {
  if (best.confidence >= SURE_FROM) return text.sure;
  if (best.confidence >= FAIRLY_SURE_FROM || others.length === 0) return text.fairlySure;
  return text.probably(best.value, others[0].value);
}
