/** Is the server there? Follows the browser's own idea, failed requests, and while it is away asks /health. */

const FIRST_CHECK_MS = 1000;
const SLOWEST_CHECK_MS = 15_000;

export class Connection {
  state = "checking";
  #check;
  #listener;
  #timer = 0;
  #newest = 0;
  #delay = FIRST_CHECK_MS;

  /** `check()` resolves to the server's health; `onChange(state, health)` hears of every change. */
  constructor(check, onChange) {
    this.#check = check;
    this.#listener = onChange;
    addEventListener("offline", () => this.#set("offline"));
    addEventListener("online", () => this.checkNow());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.state !== "online") this.checkNow();
    });
  }

  /** A request has been answered. */
  succeeded() {
    if (this.state !== "online") this.checkNow();
  }

  /** The server is there, but has failed at a request or is too slow: the next answer will tell. */
  troubled() {
    this.#set("trouble");
  }

  /** A request has failed for want of a server. */
  failed() {
    this.#set(navigator.onLine ? "unreachable" : "offline");
    this.#checkLater();
  }

  async checkNow() {
    this.#stopWaiting();
    const number = (this.#newest += 1);
    try {
      const health = await this.#check();
      if (number !== this.#newest) return;
      this.#stopWaiting();
      this.#delay = FIRST_CHECK_MS;
      this.#set(health.status === "ok" ? "online" : "no-model", health);
      if (health.status !== "ok") this.#checkLater();
    } catch {
      if (number === this.#newest) this.failed();
    }
  }

  #checkLater() {
    if (this.#timer) return;
    this.#timer = setTimeout(() => this.checkNow(), this.#delay);
    this.#delay = Math.min(this.#delay * 2, SLOWEST_CHECK_MS);
  }

  #stopWaiting() {
    clearTimeout(this.#timer);
    this.#timer = 0;
  }

  #set(state, health = null) {
    const before = this.state;
    this.state = state;
    if (state !== before || health) this.#listener(state, health);
  }
}
