/** What mattered to the model, as a map and in words, and why it is not another digit. */

import { effectsOf, levelsFromImage, paintEffects, strongest, variantsOf } from "./explain.js";
import { keepFocus } from "./focus.js";
import { text } from "./strings.js";

const DIGITS = 10;

export class Understanding {
  #find;
  #infer;
  #answer = null;
  #levels = null;
  #logits = null;

  /** `infer(pictures)` answers a batch with logits. */
  constructor(find, infer) {
    this.#find = find;
    this.#infer = infer;
    find("rival").addEventListener("change", () => this.#show());
  }

  /** Explain an answer that has its final image; null forgets the one before. */
  async explain(answer) {
    this.#answer = answer;
    keepFocus(
      () => (this.#find("mattered").hidden = true),
      () => this.#find("pad"),
    );
    if (!answer?.final_image) return;
    const levels = await levelsFromImage(answer.final_image);
    const logits = await this.#infer(variantsOf(levels)).catch(() => null);
    if (this.#answer !== answer || !logits) return;
    this.#levels = levels;
    this.#logits = logits;
    this.#offerRivals();
    this.#show();
  }

  #offerRivals() {
    const { digit, top_predictions: top } = this.#answer;
    const rivals = Array.from({ length: DIGITS }, (_, each) => each).filter((each) => each !== digit);
    this.#find("rival").replaceChildren(...rivals.map((each) => new Option(each, each)));
    this.#find("rival").value = top.find((each) => each.digit !== digit).digit;
  }

  #show() {
    const { digit } = this.#answer;
    const rival = Number(this.#find("rival").value);
    const effects = effectsOf(this.#logits, digit, rival);
    const words = text.mattered(digit, rival, strongest(effects.ink), strongest(effects.gap));
    const canvas = this.#find("influence");
    const accent = getComputedStyle(canvas).color.match(/\d+/g).slice(0, 3).map(Number);
    paintEffects(canvas, this.#levels, effects, accent);
    canvas.ariaLabel = text.influence(digit, rival);
    this.#find("why").textContent = words;
    this.#find("mattered").hidden = false;
  }
}
