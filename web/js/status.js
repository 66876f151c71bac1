/** Who answers, and whether anybody does: the dot at the top, and the model's name. */

import { describeModel, health } from "./api.js";
import { Connection } from "./connection.js";
import { connection as names, text } from "./strings.js";

export class Status {
  modelName = "digits";
  #find;
  #announce;
  #onBack;

  /** `onBack()` hears of a server that can be reached again. */
  constructor(find, { announce, onBack }) {
    this.#find = find;
    this.#announce = announce;
    this.#onBack = onBack;
    this.connection = new Connection(health, (...change) => this.#show(...change));
    this.#show("checking");
    this.connection.checkNow();
  }

  /** A request has failed. */
  note(error) {
    if (error.kind === "network") this.connection.failed();
    else if (error.kind === "timeout" || error.status >= 500) this.connection.troubled();
  }

  #show(state, answer, before) {
    this.#find("connection").dataset.state = state;
    this.#find("connection-text").textContent = names[state];
    if (answer?.model) this.#showModel(answer);
    if (state === "offline" || state === "unreachable") this.#announce(names[state]);
    if (state === "online" && (before === "offline" || before === "unreachable")) this.#onBack();
  }

  async #showModel({ model, version }) {
    this.modelName = model;
    this.#find("model").textContent = text.model(model, version);
    const { properties } = await describeModel(model).catch(() => ({ properties: {} }));
    if (properties.parity) this.#find("model").textContent = text.model(model, version, properties.parity);
  }
}
