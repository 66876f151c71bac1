/** When to ask: while drawing at most one request in flight; once the pen is up the newest drawing wins. */

export const LIVE_INTERVAL_MS = 100;
const MAX_WAIT_S = 60;

export class Reader {
  #ask;
  #listener;
  #wanted = null;
  #controller = null;
  #timer = 0;
  #notBefore = 0;

  /** `ask(drawing, signal)` answers; the listener has onBusy, onAnswer(answer, request), onError(error, request). */
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
    const wait = Math.max(delay, this.#notBefore - Date.now());
    if (wait <= 0) this.#send();
    else this.#timer = setTimeout(() => this.#send(), wait);
  }

  async #send() {
    this.#timer = 0;
    const request = this.#wanted;
    const controller = (this.#controller = new AbortController());
    this.#listener.onBusy(request);
    try {
      const answer = await this.#ask(request.drawing, controller.signal);
      if (!controller.signal.aborted) this.#listener.onAnswer(answer, request);
    } catch (error) {
      if (!controller.signal.aborted) this.#fail(error, request);
    }
    if (this.#controller === controller) this.#next(request);
  }

  #next(request) {
    this.#controller = null;
    if (this.#wanted !== request) this.#schedule(LIVE_INTERVAL_MS);
  }

  #fail(error, request) {
    if (error.retryAfterS !== null && error.retryAfterS !== undefined) {
      const wait = Math.min(error.retryAfterS, MAX_WAIT_S) * 1000;
      this.#notBefore = Date.now() + wait;
      this.#timer ||= setTimeout(() => this.#send(), wait);
    }
    this.#listener.onError(error, request);
  }
}
