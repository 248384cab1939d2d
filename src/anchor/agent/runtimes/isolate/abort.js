// AbortController and AbortSignal (dom.spec.whatwg.org), with as much of an event target as they need.
({ DOMException, report }) => {
  const key = Symbol("made by AbortController");
  class AbortSignal {
    #aborted = false;
    #reason = undefined;
    #listeners = [];
    onabort = null;
    constructor(by) {
      if (by !== key) throw new TypeError("Illegal constructor");
    }
    get aborted() { return this.#aborted; }
    get reason() { return this.#reason; }
    throwIfAborted() {
      if (this.#aborted) throw this.#reason;
    }
    addEventListener(type, listener, options) {
      if (type !== "abort" || !listener || this.#listeners.some((one) => one.listener === listener)) return;
      this.#listeners.push({ listener, once: typeof options === "object" && Boolean(options?.once) });
    }
    removeEventListener(type, listener) {
      if (type === "abort") this.#listeners = this.#listeners.filter((one) => one.listener !== listener);
    }
    static _abort(signal, reason) {
      if (signal.#aborted) return;
      signal.#aborted = true;
      signal.#reason = reason === undefined ? new DOMException("This operation was aborted", "AbortError") : reason;
      const event = { type: "abort", target: signal, currentTarget: signal };
      const listeners = [...signal.#listeners];
      signal.#listeners = listeners.filter((one) => !one.once);
      for (const listener of [signal.onabort, ...listeners.map((one) => one.listener)]) {
        try {
          if (typeof listener === "function") Reflect.apply(listener, signal, [event]);
          else listener?.handleEvent?.(event);
        } catch (error) {
          report(error);
        }
      }
    }
    static abort(reason) {
      const signal = new AbortSignal(key);
      abort(signal, reason);
      return signal;
    }
    static timeout(milliseconds) {
      const signal = new AbortSignal(key);
      setTimeout(() => abort(signal, new DOMException("The operation timed out", "TimeoutError")), milliseconds);
      return signal;
    }
    static any(signals) {
      const signal = new AbortSignal(key);
      for (const one of signals) {
        if (one.aborted) abort(signal, one.reason);
        else one.addEventListener("abort", () => abort(signal, one.reason), { once: true });
      }
      return signal;
    }
  }
  const abort = AbortSignal._abort;
  delete AbortSignal._abort;
  class AbortController {
    #signal = new AbortSignal(key);
    get signal() { return this.#signal; }
    abort(reason) { abort(this.#signal, reason); }
  }
  return { AbortController, AbortSignal };
}
