/** The panel where a wrong answer is put right, and where the corrections are saved and loaded. */

import { addFromFile, deleteCorrections, fileFromCorrections, keepCorrection, loadCorrections } from "./corrections.js";
import { text } from "./strings.js";

const FILE_NAME = "livedigit-drawings.json";

export class Correcting {
  #find;
  #announce;
  #drawing = null;

  constructor(find, announce) {
    this.#find = find;
    this.#announce = announce;
    find("labels").append(...Array.from({ length: 10 }, (_, digit) => this.#labelButton(digit)));
    find("save-corrections").addEventListener("click", () => download(fileFromCorrections()));
    find("load-corrections").addEventListener("click", () => find("corrections-file").click());
    find("corrections-file").addEventListener("change", ({ target }) => this.#load(target));
    find("delete-corrections").addEventListener("click", () => {
      deleteCorrections();
      this.show(this.#drawing);
    });
  }

  /** Offer to correct a drawing: { id, picture, strokes }. */
  show(drawing) {
    this.#drawing = drawing;
    const corrections = loadCorrections();
    const current = corrections.find(({ name }) => name === drawing.id)?.label;
    for (const button of this.#find("labels").children) {
      button.disabled = drawing.strokes.length === 0 || drawing.picture !== null;
      button.ariaPressed = String(button.textContent === current);
    }
    this.#find("corrections-count").textContent = text.corrections(corrections.length);
    this.#find("save-corrections").disabled = this.#find("delete-corrections").disabled = corrections.length === 0;
  }

  #labelButton(digit) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: digit });
    button.addEventListener("click", () => {
      const isKept = keepCorrection(this.#drawing.id, digit, this.#drawing.strokes);
      this.show(this.#drawing);
      this.#say(isKept ? text.corrected(digit) : text.notKept);
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
    this.show(this.#drawing);
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
