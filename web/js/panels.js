/** The panels that open below the answer; their code comes when they are first opened. */

import { loadModule } from "./api.js";

export class Panels {
  #find;
  #announce;
  #correcting = null;
  #understanding = null;

  constructor(find, announce) {
    this.#find = find;
    this.#announce = announce;
  }

  isShown(id) {
    return !this.#find(id).hidden;
  }

  /** Open or close a panel: is it open now? */
  toggle(id, shown = !this.isShown(id)) {
    this.#find(id).hidden = !shown;
    this.#find(`${id}-toggle`).ariaExpanded = String(shown);
    return shown;
  }

  /** Throws ApiError where its code cannot be fetched; so does `understanding`. */
  async correcting() {
    const { Correcting } = await loadModule("correcting");
    return (this.#correcting ??= new Correcting(this.#find, this.#announce));
  }

  /** What `Correcting.show` takes, for when the panel is open. */
  async showCorrecting(target) {
    if (this.isShown("correction")) (await this.correcting()).show(target);
  }

  async understanding(infer) {
    const { Understanding } = await loadModule("understanding");
    return (this.#understanding ??= new Understanding(this.#find, infer));
  }
}
