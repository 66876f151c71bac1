/** A whole number: each digit framed where it was written, and what else the number may be, one tap away. */

import { CANVAS_SIZE, WIDE_SIZE, boundsOf, centreStrokes, encodeStrokes } from "./strokes.js";
import { text } from "./strings.js";

/** Below a frame, for its digit. */
const LABEL_ROOM = 45;

export class Numbers {
  #find;
  #results;
  #onCorrect;
  #onChoose;
  #request = null;
  #answer = null;
  /** What it is taken as by now: the answer, or what the user has said since. */
  #number = "";
  #selected = 0;

  /** `onCorrect()` wants the digit of `target` put right; `onChoose(number, corrections)` says what the whole number is. */
  constructor(find, results, { onCorrect, onChoose }) {
    this.#find = find;
    this.#results = results;
    this.#onCorrect = onCorrect;
    this.#onChoose = onChoose;
  }

  /** Show the answer of `/read` to a request of the reader. */
  show(answer, request) {
    this.#answer = answer;
    this.#request = request;
    this.#selected = leastCertain(answer.digits);
    this.#find("alternatives").replaceChildren(...answer.alternatives.map((each) => this.#alternativeItem(each)));
    this.#showNumber(answer.number);
  }

  clear() {
    for (const id of ["frames", "digits", "alternatives"]) this.#find(id).replaceChildren();
    this.#answer = null;
  }

  /** What the panel for corrections is about: the digit that was chosen, or else the least certain one. */
  get target() {
    return this.#isGroupedAs(this.#number) ? this.#targetAt(this.#selected) : { strokes: [] };
  }

  /** Has a number as many digits as were found? */
  #isGroupedAs(number) {
    return number.length === this.#answer?.digits.length;
  }

  /** The first reading with its confidence, or what the user has said instead. */
  #showNumber(number) {
    this.#number = number;
    if (number === this.#answer.number) {
      const readings = [this.#answer, ...this.#answer.alternatives];
      const valued = readings.map(({ number: value, confidence }) => ({ value, confidence }));
      this.#results.showReadings(valued, this.#request);
    } else {
      this.#results.showChosen(number);
    }
    this.#showDigits(number);
    this.#markAlternative(number);
  }

  /** The first reading is among the alternatives once another has been chosen: last, so that no button moves. */
  #markAlternative(number) {
    const { children } = this.#find("alternatives");
    const isComplete = children.length > this.#answer.alternatives.length;
    if (number !== this.#answer.number && !isComplete) {
      this.#find("alternatives").append(this.#alternativeItem(this.#answer));
    }
    for (const { firstChild: button } of children) {
      button.ariaPressed = String(button.firstChild.textContent === number);
    }
  }

  /** Frames and buttons for the digits of a number, if they are those that were found. */
  #showDigits(number) {
    const digits = this.#isGroupedAs(number) ? this.#answer.digits : [];
    this.#find("frames").replaceChildren(...digits.map(({ box }, index) => frame(box, number[index])));
    this.#find("digits").replaceChildren(...digits.map((digit, index) => this.#digitItem(digit, index)));
  }

  #choose(number, corrections) {
    this.#showNumber(number);
    this.#onChoose(number, corrections);
  }

  #targetAt(index) {
    const { digits } = this.#answer;
    const { digit, confidence } = digits[index];
    const answer = this.#answer;
    const { id, picture, strokes } = this.#request.drawing;
    const own = strokesOf(digits, index, strokes);
    return {
      // Its place may be another one's later on.
      id: `${id}-${hash(encodeStrokes(own))}`,
      // What is on a picture may be no more than a part of a digit.
      strokes: picture ? [] : centreStrokes(own),
      answered: { digit, confidence },
      which: text.which(index + 1, digits.length),
      onChoice: (label) => {
        if (this.#answer === answer) this.#choose([...this.#number].with(index, label).join(""), []);
      },
    };
  }

  #digitItem({ digit, confidence }, index) {
    const shown = this.#number[index];
    const share = Number(shown) === digit ? text.percent(confidence) : text.byYou;
    return listItem(shown, share, text.digitOf(index + 1, shown, share), () => {
      this.#selected = index;
      [...this.#find("digits").children].forEach((item, place) => {
        item.firstChild.ariaPressed = String(place === index);
      });
      this.#onCorrect();
    });
  }

  #alternativeItem({ number, confidence }) {
    const share = text.percent(confidence);
    const choose = () => this.#choose(number, this.#differing(number));
    return listItem(number, share, text.takeAs(number, share), choose);
  }

  /** The digits that a chosen number corrects: [{ target, label }]; none where it is grouped otherwise. */
  #differing(number) {
    if (!this.#isGroupedAs(number)) return [];
    const now = this.#isGroupedAs(this.#number) ? this.#number : this.#answer.number;
    const labels = [...number].map((label, index) => ({ label, index }));
    const differing = labels.filter(({ label, index }) => label !== now[index]);
    const corrections = differing.map(({ label, index }) => ({ target: this.#targetAt(index), label }));
    return corrections.filter(({ target }) => target.strokes.length > 0);
  }
}

/** FNV-1a of 32 bits, in letters and digits. Source: G. Fowler, L. Noll and K.-P. Vo. */
function hash(text) {
  const mixed = [...text].reduce((sum, character) => Math.imul(sum ^ character.charCodeAt(0), 0x01000193), 0x811c9dc5);
  return (mixed >>> 0).toString(36);
}

function leastCertain(digits) {
  const confidences = digits.map(({ confidence }) => confidence);
  return confidences.indexOf(Math.min(...confidences));
}

/** The strokes of one digit: each belongs to the narrowest frame that holds it, else to the nearest. */
function strokesOf(digits, index, strokes) {
  return strokes.filter((stroke) => ownerOf(stroke, digits) === index);
}

function ownerOf(stroke, digits) {
  const { left, right } = boundsOf(stroke);
  const middle = (left + right) / 2;
  const frames = digits.map(({ box: [x, , width] }, index) => ({ index, x, width }));
  const holding = frames.filter(({ x, width }) => x <= left && right <= x + width);
  const distance = ({ x, width }) => Math.abs(x + width / 2 - middle);
  const order = holding.length > 0 ? (a, b) => a.width - b.width : (a, b) => distance(a) - distance(b);
  return (holding.length > 0 ? holding : frames).toSorted(order)[0].index;
}

function frame([x, y, width, height], digit) {
  const element = document.createElement("span");
  const share = (value, whole) => `${(100 * value) / whole}%`;
  Object.assign(element.style, {
    left: share(x, WIDE_SIZE),
    top: share(y, CANVAS_SIZE),
    width: share(width, WIDE_SIZE),
    height: share(height, CANVAS_SIZE),
  });
  element.classList.toggle("low", y + height > CANVAS_SIZE - LABEL_ROOM);
  element.appendChild(document.createElement("b")).textContent = digit;
  return element;
}

/** A button that shows a reading and how likely it is. */
function listItem(value, likely, label, onClick) {
  const item = document.createElement("li");
  const button = item.appendChild(document.createElement("button"));
  const [read, share] = ["b", "small"].map((tag) => button.appendChild(document.createElement(tag)));
  read.textContent = value;
  share.textContent = likely;
  Object.assign(button, { type: "button", ariaLabel: label });
  button.addEventListener("click", onClick);
  return item;
}
