/** The panel where a wrong answer is put right, and where the corrections are saved, loaded and, if wanted, sent. */

import { sendCorrection, wantsCorrections } from "./api.js";
import {
  addFromFile,
  deleteCorrections,
  fileFromCorrections,
  followConsent,
  followCorrections,
  hasConsent,
  keepCorrection,
  loadCorrections,
  setConsent,
} from "./corrections.js";
import { keepFocus } from "./focus.js";
import { text } from "./strings.js";
import { isPortable } from "./strokes.js";

const FILE_NAME = "livedigit-drawings.json";

export class Correcting {
  #find;
  #announce;
  #target = null;
  /** The newest label of each drawing that was put right here, by its id. */
  #labels = new Map();
  /** What was chosen last: only of that is told how sending it went. */
  #newest = null;
  #sending = Promise.resolve();
  #wanted = null;

  constructor(find, announce) {
    this.#find = find;
    this.#announce = announce;
    find("labels").append(...Array.from({ length: 10 }, (_, digit) => this.#labelButton(digit)));
    find("save-corrections").addEventListener("click", () => download(fileFromCorrections()));
    find("load-corrections").addEventListener("click", () => find("corrections-file").click());
    find("corrections-file").addEventListener("change", ({ target }) => this.#load(target));
    find("delete-corrections").addEventListener("click", () => this.#delete());
    find("consent").addEventListener("change", ({ target }) => setConsent(target.checked));
    followConsent(() => this.#showConsent());
    followCorrections(() => this.#target && this.show(this.#target));
    this.#showConsent();
  }

  /**
   * Offer to correct a drawing of one digit: { id, strokes, picture, answered, which, onChoice }. `which` says in
   * words which digit of a number it is, and `onChoice(label)` hears of the label that is chosen here.
   */
  show(target) {
    this.#target = target;
    const corrections = loadCorrections();
    keepFocus(
      () => this.#showLabels(corrections),
      () => this.#find("pad"),
    );
    this.#find("correction-which").textContent = target.which ?? "";
    this.#find("corrections-count").textContent = text.corrections(corrections.length);
    this.#find("save-corrections").disabled = this.#find("delete-corrections").disabled = corrections.length === 0;
    this.#offerToSend();
  }

  /**
   * Keep corrections, [{ target, label }], and then send them where that is wanted and agreed to, one after another.
   * `said` is what screen readers hear first.
   */
  correct(corrections, said = "") {
    const labels = corrections.map(({ label }) => String(label));
    const kept = corrections.map(({ target: { id, strokes }, label }) => keepCorrection(id, label, strokes));
    const isKept = kept.every(Boolean);
    for (const { target, label } of corrections) this.#labels.set(target.id, label);
    this.#newest = corrections;
    if (this.#target) this.show(this.#target);
    this.#say(isKept ? text.corrected(labels) : text.notKept, said);
    if (hasConsent()) this.#sending = this.#sending.then(() => this.#send(corrections, labels, isKept));
  }

  #showLabels(corrections) {
    const { id, strokes, picture } = this.#target;
    const current = corrections.find(({ name }) => name === id)?.label;
    for (const button of this.#find("labels").children) {
      button.disabled = !isPortable(strokes) || Boolean(picture);
      button.ariaPressed = String(button.textContent === current);
    }
  }

  #delete() {
    if (!confirm(text.deleteQuestion(loadCorrections().length))) return;
    deleteCorrections();
    this.#labels.clear();
    keepFocus(
      () => this.show(this.#target),
      () => this.#find("load-corrections"),
    );
  }

  async #send(corrections, labels, isKept) {
    if (!(await this.#isWanted())) return;
    let message = isKept ? text.correctionSent(labels) : text.correctionSentOnly(labels);
    for (const { target, label } of corrections) {
      // By now there may be a later label, or none, and the consent may have been taken back.
      if (this.#labels.get(target.id) !== label || !hasConsent()) return;
      const { id: name, strokes, answered } = target;
      try {
        await sendCorrection({ name, label: String(label), strokes, answered });
      } catch (error) {
        message = isKept ? text.correctionNotSent(labels, error.detail) : text.notKept;
      }
    }
    if (this.#newest === corrections) this.#say(message);
  }

  /** Asked until the server has said so. */
  async #isWanted() {
    this.#wanted ??= wantsCorrections();
    try {
      return await this.#wanted;
    } catch {
      this.#wanted = null;
      return false;
    }
  }

  #showConsent() {
    this.#find("consent").checked = hasConsent();
  }

  async #offerToSend() {
    this.#find("consent-option").hidden = !(await this.#isWanted());
  }

  #labelButton(digit) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: digit });
    button.addEventListener("click", () => {
      const target = this.#target;
      target.onChoice?.(digit);
      this.correct([{ target, label: digit }]);
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

  #say(message, before = "") {
    this.#find("correction-message").textContent = message;
    this.#announce(`${before} ${message}`.trim());
  }
}

function download(blob) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: FILE_NAME });
  link.click();
  URL.revokeObjectURL(link.href);
}
