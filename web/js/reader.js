/** When to ask: while drawing at most one request in flight; once the pen is up the newest drawing wins. */

export const LIVE_INTERVAL_MS = 100;
/** What the server asks for is kept to within these. */
const [MIN_WAIT_S, MAX_WAIT_S] = [1, 60];

export class Reader {
  #ask;
  #listener;
  #wanted = null;
  #controller = null;
  #timer = 0;
  #notBefore = 0;
  /** The error that asked for the wait until then. */
  #refusal = null;

  /**
   * `ask(drawing, signal)` answers; the listener has onBusy(request), onAnswer(answer, request) and
   * onError(error, request), which hears of a drawing that has to wait, too: `retryAfterS` is what is left to wait.
   */
  constructor(ask, listener) {
    this.#ask = ask;
    this.#listener = listener;
  }

  /** The pen is moving: ask soon, and never twice at once. */
  preview(drawing) {
    this.#wanted = { drawing, settled: false, since: performance.now() };
    if (!this.#controller) this.#schedule(LIVE_INTERVAL_MS);
  }

  /** The pen is up: ask at once, in place of whatever is in flight. */
  settle(drawing) {
    this.cancel();
    this.#wanted = { drawing, settled: true, since: performance.now() };
    this.#schedule(0);
  }

  /** Nothing to read any more: answers under way are dropped. */
  cancel() {
    this.#controller?.abort();
    this.#controller = null;
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#wanted = null;
  }

  #schedule(delay) {
    if (this.#timer) return;
    const left = this.#notBefore - Date.now();
    if (left > 0) this.#listener.onError(Object.assign(this.#refusal, { retryAfterS: left / 1000 }), this.#wanted);
    const wait = Math.max(delay, left);
    if (wait <= 0) this.#send();
    else this.#timer = setTimeout(() => this.#send(), wait);
  }

  async #send() {
    this.#timer = 0;
    const request = this.#wanted;
    const controller = (this.#controller = new AbortController());
    this.#listener.onBusy(request);
    let answer = null;
    try {
      answer = await this.#ask(request.drawing, controller.signal);
    } catch (error) {
      if (!controller.signal.aborted) this.#fail(error, request);
    }
    if (controller.signal.aborted) return;
    this.#next(request);
    if (answer) this.#listener.onAnswer(answer, request);
  }

  #next(request) {
    this.#controller = null;
    if (this.#wanted !== request) this.#schedule(LIVE_INTERVAL_MS);
  }

  #fail(error, request) {
    if (!Number.isFinite(error.retryAfterS)) return this.#listener.onError(error, request);
    this.#refusal = error;
    this.#notBefore = Date.now() + 1000 * Math.min(Math.max(error.retryAfterS, MIN_WAIT_S), MAX_WAIT_S);
    this.#schedule(0);
  }
}
