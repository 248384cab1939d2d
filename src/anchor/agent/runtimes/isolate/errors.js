// DOMException (webidl.spec.whatwg.org).
() => {
  const CODES = {
    __proto__: null, IndexSizeError: 1, NotFoundError: 8, NotSupportedError: 9, InvalidStateError: 11, InvalidCharacterError: 5,
    SyntaxError: 12, TypeMismatchError: 17, AbortError: 20, QuotaExceededError: 22, TimeoutError: 23, DataCloneError: 25,
  };
  class DOMException extends Error {
    #name;
    constructor(message = "", options = "Error") {
      super(`${message}`);
      const isNamed = typeof options !== "object" || options === null;
      this.#name = `${isNamed ? options : options.name ?? "Error"}`;
      if (!isNamed && "cause" in options) Object.defineProperty(this, "cause", { value: options.cause, writable: true, configurable: true });
    }
    get name() { return this.#name; }
    get code() { return CODES[this.#name] ?? 0; }
    get [Symbol.toStringTag]() { return "DOMException"; }
  }
  return { DOMException };
}
