/** Who answers, and whether anybody does: the dot at the top, and the model's name. */

import { describeModel, health } from "./api.js";
import { Connection } from "./connection.js";
import { connection as names, text } from "./strings.js";

export class Status {
  /** A promise, for the server says it first. */
  modelName;
  #setModelName;
  #find;
  #announce;
  #onBack;
  #isAway = false;
  /** Who answered last: { model, version }. */
  #answerer = null;

  /** `onBack()` hears of a server that can be reached again. */
  constructor(find, { announce, onBack }) {
    this.#find = find;
    this.#announce = announce;
    this.#onBack = onBack;
    this.modelName = new Promise((resolve) => (this.#setModelName = resolve));
    this.connection = new Connection(health, (...change) => this.#show(...change));
    this.#show("checking");
    this.connection.checkNow();
  }

  /** A request has failed. */
  note(error) {
    if (error.kind === "network") this.connection.failed();
    else if (error.kind === "timeout" || error.status >= 500) this.connection.troubled();
  }

  #show(state, answer) {
    this.#find("connection").dataset.state = state;
    this.#find("connection-text").textContent = names[state];
    if (answer?.model) this.#showModel(answer);
    if (state === "offline" || state === "unreachable") {
      this.#isAway = true;
      this.#announce(names[state]);
    } else if (state === "online" && this.#isAway) {
      this.#isAway = false;
      this.#onBack();
    }
  }

  async #showModel(answerer) {
    const { model, version } = (this.#answerer = answerer);
    this.#setModelName(model);
    this.modelName = Promise.resolve(model);
    this.#find("model").textContent = text.model(model, version);
    const { properties } = await describeModel(model).catch(() => ({ properties: {} }));
    if (properties.parity && this.#answerer === answerer) this.#find("model").textContent = text.model(model, version, properties.parity);
  }
}
