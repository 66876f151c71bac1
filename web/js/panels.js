/** The panels that open below the answer; their code comes when they are first opened. */

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

  correcting() {
    const load = async () => new (await import("./correcting.js")).Correcting(this.#find, this.#announce);
    return (this.#correcting ??= load());
  }

  /** What `Correcting.show` takes, for when the panel is open. */
  async showCorrecting(target) {
    if (this.isShown("correction")) (await this.correcting()).show(target);
  }

  understanding(infer) {
    const load = async () => new (await import("./understanding.js")).Understanding(this.#find, infer);
    return (this.#understanding ??= load());
  }
}
