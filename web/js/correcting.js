/** The panel where a wrong answer is put right, and where the corrections are saved, loaded and, if wanted, sent. */

import { sendCorrection, wantsCorrections } from "./api.js";
import {
  addFromFile,
  deleteCorrections,
  fileFromCorrections,
  followConsent,
  hasConsent,
  keepCorrection,
  loadCorrections,
  setConsent,
} from "./corrections.js";
import { text } from "./strings.js";
import { isPortable } from "./strokes.js";

const FILE_NAME = "livedigit-drawings.json";

export class Correcting {
  #find;
  #announce;
  #target = null;

  constructor(find, announce) {
    this.#find = find;
    this.#announce = announce;
    find("labels").append(...Array.from({ length: 10 }, (_, digit) => this.#labelButton(digit)));
    find("save-corrections").addEventListener("click", () => download(fileFromCorrections()));
    find("load-corrections").addEventListener("click", () => find("corrections-file").click());
    find("corrections-file").addEventListener("change", ({ target }) => this.#load(target));
    find("delete-corrections").addEventListener("click", () => {
      deleteCorrections();
      this.show(this.#target);
    });
    find("consent").addEventListener("change", ({ target }) => setConsent(target.checked));
    followConsent(() => this.#showConsent());
    this.#offerToSend();
  }

  /**
   * Offer to correct a drawing of one digit: { id, strokes, picture, answered, which, onChoice }. `which` says in
   * words which digit of a number it is, and `onChoice(label)` hears of the label that is chosen here.
   */
  show(target) {
    this.#target = target;
    const corrections = loadCorrections();
    const current = corrections.find(({ name }) => name === target.id)?.label;
    for (const button of this.#find("labels").children) {
      button.disabled = !isPortable(target.strokes) || Boolean(target.picture);
      button.ariaPressed = String(button.textContent === current);
    }
    this.#find("correction-which").textContent = target.which ?? "";
    this.#find("corrections-count").textContent = text.corrections(corrections.length);
    this.#find("save-corrections").disabled = this.#find("delete-corrections").disabled = corrections.length === 0;
  }

  /** Keep a correction, and send it where that is wanted and agreed to. */
  async correct(target, label) {
    const isKept = keepCorrection(target.id, label, target.strokes);
    if (this.#target) this.show(this.#target);
    this.#say(isKept ? text.corrected(label) : text.notKept);
    if (this.#find("consent-option").hidden || !hasConsent()) return;
    const { id: name, strokes, answered } = target;
    try {
      await sendCorrection({ name, label: String(label), strokes, answered });
      this.#say(text.correctionSent(label));
    } catch (error) {
      this.#say(text.correctionNotSent(label, error.detail));
    }
  }

  #showConsent() {
    this.#find("consent").checked = hasConsent();
  }

  async #offerToSend() {
    this.#showConsent();
    this.#find("consent-option").hidden = !(await wantsCorrections().catch(() => false));
  }

  #labelButton(digit) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: digit });
    button.addEventListener("click", () => {
      this.#target.onChoice?.(digit);
      this.correct(this.#target, digit);
    });
    return button;
  }

  async #load(input) {
    const [file] = input.files;
    input.value = "";
    try {
      this.#say(text.loaded(addFromFile(await file.text())));
    } catch {
      this.#say(text.notLoaded(file.name));
    }
    this.show(this.#target);
  }

  #say(message) {
    this.#find("correction-message").textContent = message;
    this.#announce(message);
  }
}

function download(blob) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: FILE_NAME });
  link.click();
  URL.revokeObjectURL(link.href);
}
