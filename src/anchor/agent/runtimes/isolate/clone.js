// structuredClone (html.spec.whatwg.org, structured data) of what an isolate can hold.
({ DOMException }) => {
  const { defineProperty, getOwnPropertyDescriptor, keys } = Object;
  const { toString } = Object.prototype;
  const ERRORS = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
  const TYPED = Object.getPrototypeOf(Uint8Array);

  const refuse = (value) => {
    let shown;
    try {
      shown = typeof value === "function" ? `The function ${value.name || "without a name"}` : typeof value === "symbol" ? value.toString() : "The value";
    } catch {
      shown = "The value";
    }
    throw new DOMException(`${shown} could not be cloned`, "DataCloneError");
  };

  // What only a real one of its kind can answer: an impostor's prototype does not.
  const is = (probe, value) => {
    try {
      probe(value);
      return true;
    } catch {
      return false;
    }
  };
  const call = (method) => (value) => Reflect.apply(method, value, []);
  const getter = (prototype, name) => call(getOwnPropertyDescriptor(prototype, name).get);
  const isDate = call(Date.prototype.getTime);
  const isMap = getter(Map.prototype, "size");
  const isSet = getter(Set.prototype, "size");
  const isBuffer = getter(ArrayBuffer.prototype, "byteLength");
  const source = getter(RegExp.prototype, "source");
  const isNumber = call(Number.prototype.valueOf);
  const isText = call(String.prototype.valueOf);
  const isBoolean = call(Boolean.prototype.valueOf);
  const isBigInt = call(BigInt.prototype.valueOf);
  const isSymbol = call(Symbol.prototype.valueOf);
  const refused = [
    (value) => WeakMap.prototype.has.call(value, {}), (value) => WeakSet.prototype.has.call(value, {}),
    (value) => WeakRef.prototype.deref.call(value), (value) => Promise.prototype.then.call(value, () => {}, () => {}),
  ];

  const buffer = (from) => {
    if (from.detached) refuse(from);
    const to = from.resizable ? new ArrayBuffer(from.byteLength, { maxByteLength: from.maxByteLength }) : new ArrayBuffer(from.byteLength);
    new Uint8Array(to).set(new Uint8Array(from));
    return to;
  };

  return {
    structuredClone: (...given) => {
      if (given.length === 0) throw new TypeError("structuredClone needs a value");
      const [value, options] = given;
      const seen = new Map();
      const waiting = [];
      for (const moved of options?.transfer ?? []) {
        if (!is(isBuffer, moved) || moved.detached || seen.has(moved)) refuse(moved);
        seen.set(moved, null);
      }
      const transferred = [...seen.keys()];
      seen.clear();

      const shell = (from) => {
        if (typeof from === "symbol" || typeof from === "function") refuse(from);
        if (from === null || typeof from !== "object") return from;
        if (seen.has(from)) return seen.get(from);
        const to = made(from);
        seen.set(from, to);
        return to;
      };
      const made = (from) => {
        if (ArrayBuffer.isView(from)) {
          const to = shell(from.buffer);
          if (!(from instanceof TYPED)) return new DataView(to, from.byteOffset, from.byteLength);
          return new globalThis[from[Symbol.toStringTag]](to, from.byteOffset, from.length);
        }
        if (is(isBuffer, from)) return transferred.includes(from) ? from.slice() : buffer(from);
        if (Array.isArray(from)) {
          const to = new Array(from.length);
          waiting.push(() => properties(from, to));
          return to;
        }
        if (is(isDate, from)) return new Date(isDate(from));
        if (from !== RegExp.prototype && is(source, from)) return new RegExp(source(from), from.flags);
        if (is(isMap, from)) {
          const to = new Map();
          const pairs = [...Map.prototype.entries.call(from)];
          waiting.push(() => { for (const [key, item] of pairs) to.set(shell(key), shell(item)); });
          return to;
        }
        if (is(isSet, from)) {
          const to = new Set();
          const items = [...Set.prototype.values.call(from)];
          waiting.push(() => { for (const item of items) to.add(shell(item)); });
          return to;
        }
        for (const probe of [isNumber, isText, isBoolean, isBigInt]) if (is(probe, from)) return Object(probe(from));
        if (is(isSymbol, from) || refused.some((probe) => is(probe, from))) refuse(from);
        if (Error.isError(from) && !(from instanceof DOMException)) return error(from);
        if (toString.call(from) === "[object Generator]") refuse(from);
        const to = {};
        waiting.push(() => properties(from, to));
        return to;
      };
      const properties = (from, to) => {
        for (const key of keys(from)) {
          if (!getOwnPropertyDescriptor(from, key)) continue;
          defineProperty(to, key, { value: shell(from[key]), writable: true, enumerable: true, configurable: true });
        }
      };
      const error = (from) => {
        const kind = Object.hasOwn(ERRORS, `${from.name}`) ? ERRORS[from.name] : Error;
        const to = Object.create(kind.prototype);
        const like = new kind();
        Object.setPrototypeOf(like, Object.getPrototypeOf(to));
        const message = getOwnPropertyDescriptor(from, "message");
        const set = (key, one) => defineProperty(like, key, { value: one, writable: true, configurable: true });
        if (message && "value" in message) set("message", `${message.value}`);
        set("stack", `${from.stack}`);
        if (Object.hasOwn(from, "cause")) waiting.push(() => set("cause", shell(from.cause)));
        return like;
      };

      const copy = shell(value);
      // A list to work off, so that depth costs no stack.
      while (waiting.length) waiting.pop()();
      for (const moved of transferred) moved.transfer();
      return copy;
    },
  };
}
