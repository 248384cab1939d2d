// What a script finds in its isolate: timers, `input`, `inputs`, `anchor` and, made when first asked for, what the parts
// hold; evaluated before any foreign code. `library` is JSON, the sources of the parts by name. Its value is for the
// worker: a buffer and functions, none of which the script itself can reach.
(library) => {
  "use strict";
  const { apply } = Reflect;
  const { parse, stringify } = JSON;
  const evaluate = eval;
  const Pledge = Promise;
  const { call } = Function.prototype;
  const bound = (method) => call.bind(method);
  const charCodeAt = bound(String.prototype.charCodeAt);
  const cut = bound(String.prototype.slice);
  const begins = bound(String.prototype.startsWith);
  const test = bound(RegExp.prototype.test);
  const splice = bound(Array.prototype.splice);
  const push = bound(Array.prototype.push);
  const shift = bound(Array.prototype.shift);
  const { load, store, wait } = Atomics;
  const { then } = Promise.prototype;
  const { now } = Date;
  const toSource = Function.prototype.toString;
  const { defineProperty, freeze } = Object;
  const text = String;
  const Failure = Error;
  const { isError } = Error;
  const RESULT_LENGTH_MAX = 16 * 1024 * 1024;

  // Output leaves through memory that the worker reads while the script runs: records of stream, length and UTF-16
  // units in a ring. So a loop that never yields still prints live, and no host function is within a script's reach.
  const UNITS = 256 * 1024;
  const PIECE = 4096;
  const HEAD = 0, TAIL = 1, TRUNCATED = 2, NEVER = 3, TURN = 4, LENGTH = 5;
  const HEADER = 32;
  const SAYING = 512;
  const buffer = new SharedArrayBuffer(HEADER + UNITS * 2 + SAYING * 2);
  const header = new Int32Array(buffer, 0, 6);
  const share = new Float64Array(buffer, 24, 1);
  const units = new Uint16Array(buffer, HEADER, UNITS);
  const saying = new Uint16Array(buffer, HEADER + UNITS * 2, SAYING);
  let budget = 0;

  const put = (head, unit) => {
    units[head] = unit;
    return head + 1 === UNITS ? 0 : head + 1;
  };

  const write = (stream, line) => {
    if (line.length > budget) {
      store(header, TRUNCATED, 1);
      line = cut(line, 0, budget);
    }
    budget -= line.length;
    for (let from = 0; from < line.length; ) {
      let size = line.length - from;
      if (size > PIECE) {
        size = PIECE;
        if ((charCodeAt(line, from + size - 1) & 0xfc00) === 0xd800) size--;
      }
      while ((load(header, TAIL) - load(header, HEAD) - 1 + UNITS) % UNITS < size + 2) wait(header, NEVER, 0, 1);
      let head = put(put(load(header, HEAD), stream), size);
      for (let at = 0; at < size; at++) head = put(head, charCodeAt(line, from + at));
      store(header, HEAD, head);
      from += size;
    }
  };

  // How far the script is: one place that is written over, so that saying it often costs nothing. The worker reads it
  // between two even turns.
  const progress = (fraction, message = "") => {
    const number = Number(fraction);
    const words = text(message);
    const length = words.length < SAYING ? words.length : SAYING;
    store(header, TURN, load(header, TURN) + 1);
    share[0] = number;
    for (let at = 0; at < length; at++) saying[at] = charCodeAt(words, at);
    header[LENGTH] = length;
    store(header, TURN, load(header, TURN) + 1);
  };

  // Timers are driven from outside: the worker calls `pump`, which runs at most one that is due. So it is known
  // exactly when nothing is left that could ever settle the script's promise.
  let timers = [];
  let next = 1;
  const schedule = (callback, delay, args, interval) => {
    if (typeof callback !== "function") throw new TypeError("a timer needs a function to call");
    const id = next++;
    const pause = Math.max(1, Math.min(Number(delay) || 0, 2 ** 31 - 1));
    plan({ id, callback, args, due: now() + pause, interval: interval ? pause : 0 });
    return id;
  };
  const plan = (timer) => {
    let low = 0;
    let high = timers.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (timers[middle].due <= timer.due) low = middle + 1;
      else high = middle;
    }
    splice(timers, low, 0, timer);
  };
  const cancel = (id) => {
    for (let at = 0; at < timers.length; at++) {
      if (timers[at].id === id) return void splice(timers, at, 1);
    }
  };

  let outcome;
  const end = (letter, body) => {
    outcome ??= letter + body;
  };

  const fail = (error) => {
    const seen = { name: "", message: "", stack: "" };
    try {
      if (isError(error) || error instanceof Failure) {
        seen.name = text(error.name);
        seen.message = text(error.message);
        seen.stack = text(error.stack);
      } else {
        seen.message = part("console").show(error, [seen]);
      }
    } catch {
      seen.message ||= "something that cannot be described";
    }
    end("E", stringify(seen));
  };

  const succeed = (value) => {
    if (typeof value === "function" || typeof value === "symbol") return end("I", `it is a ${typeof value}`);
    try {
      const json = value === undefined ? "null" : stringify(value);
      if (json === undefined) end("I", "its toJSON returned nothing");
      else if (json.length > RESULT_LENGTH_MAX) end("L", "");
      else end("V", json);
    } catch (error) {
      let why = "it cannot be described";
      try {
        why = text(error.message);
      } catch {
        // Then the sentence above is all there is to say.
      }
      if (begins(why, "Do not know how to serialize a BigInt")) why = "it contains a BigInt";
      else if (begins(why, "Converting circular structure")) why = "it contains itself";
      else if (begins(why, "Maximum call stack")) why = "it is nested too deeply";
      end("I", why);
    }
  };

  // What only the worker can do is asked of it: `pump` says what is wanted, `answer` settles it.
  const asked = [];
  const ask = (what, data) => {
    // Made here, where the script's own frames are.
    const refusal = new Failure("");
    return new Pledge((resolve, reject) => push(asked, { what, data, resolve, reject, refusal, space: undefined }));
  };
  const wanted = () => asked[0].data;
  const space = (size) => (asked[0].space = new ArrayBuffer(size));
  const answer = (reply) => {
    const { resolve, reject, refusal, space: bytes } = shift(asked);
    const { error, value } = parse(reply);
    if (error === undefined) return resolve(bytes === undefined ? value : new Uint8Array(bytes));
    const frames = cut(refusal.stack, 5);
    defineProperty(refusal, "message", { value: error.message, writable: true, configurable: true });
    defineProperty(refusal, "stack", { value: `Error: ${error.message}${frames}`, writable: true, configurable: true });
    refusal.code = error.code;
    reject(refusal);
  };

  const isClass = /^class\b/;
  const isFunction = (value) => typeof value === "function" && !test(isClass, apply(toSource, value, []));
  const made = { __proto__: null };
  let sources;
  const part = (title) => (made[title] ??= evaluate((sources ??= parse(library))[title])(tools));
  const tools = {
    ask, apply, isFunction, write, report: (error) => fail(error),
    get seed() { return seed; },
    get DOMException() { return part("errors").DOMException; },
    get TextEncoder() { return part("encoding").TextEncoder; },
    get TextDecoder() { return part("encoding").TextDecoder; },
  };
  const lazily = (title, names) => {
    for (const key of names) {
      const fix = (value) => defineProperty(globalThis, key, { value, writable: true, configurable: true, enumerable: false });
      defineProperty(globalThis, key, {
        get: () => { fix(part(title)[key]); return globalThis[key]; },
        set: fix,
        configurable: true, enumerable: false,
      });
    }
  };

  let seed;
  let given;
  const start = (text, random) => {
    const { input, inputs, anchor, budget: bytes } = parse(text);
    budget = bytes;
    seed = parse(random);
    given = input;
    globalThis.input = input;
    const hand = (value) => defineProperty(globalThis, "inputs", { value, writable: true, configurable: true, enumerable: true });
    defineProperty(globalThis, "inputs", {
      get: () => { hand(inputs ? parse(inputs) : {}); return globalThis.inputs; },
      set: hand,
      configurable: true, enumerable: true,
    });
    defineProperty(anchor, "files", { get: () => part("files") });
    defineProperty(anchor, "progress", { value: progress });
    globalThis.anchor = freeze(anchor);
  };

  // A source that closes the function around it and goes on is no script, whatever else it parses as.
  const genuine = (main, source) => typeof main === "function" && apply(toSource, main, []) === source;
  const settle = (run) => {
    const promise = run();
    // A constructor of its own, none: what the script has made of Promise.prototype is not asked.
    defineProperty(promise, "constructor", { value: undefined });
    apply(then, promise, [succeed, fail]);
  };
  const launch = (main, source) => {
    if (!genuine(main, source)) return fail(new SyntaxError("Unexpected token '}'"));
    settle(main);
  };
  const link = (plan, ...rest) => {
    const functions = [];
    for (let at = 0; at < rest.length; at += 2) {
      if (!genuine(rest[at], rest[at + 1])) return fail(new SyntaxError("Unexpected token '}'"));
      push(functions, rest[at]);
    }
    settle(() => part("linking")(functions, parse(plan), given));
  };

  // A text is the outcome, or what is asked of the worker if it begins with "?"; a number is how many milliseconds to
  // wait before the next call, or -1: nothing is left.
  const pump = () => {
    if (outcome !== undefined) return outcome;
    if (asked.length > 0) return `?${stringify(asked[0].what)}`;
    const timer = timers[0];
    if (timer === undefined) return -1;
    const early = timer.due - now();
    if (early > 0) return early;
    shift(timers);
    if (timer.interval) plan({ ...timer, due: now() + timer.interval });
    try {
      apply(timer.callback, undefined, timer.args);
    } catch (error) {
      fail(error);
    }
    return 0;
  };

  const began = now();
  const settled = Pledge.resolve();
  for (const [key, value] of Object.entries({
    performance: freeze({ timeOrigin: began, now: () => now() - began }),
    setTimeout: (callback, delay, ...args) => schedule(callback, delay, args, false),
    setInterval: (callback, delay, ...args) => schedule(callback, delay, args, true),
    clearTimeout: cancel,
    clearInterval: cancel,
    queueMicrotask: (callback) => {
      if (typeof callback !== "function") throw new TypeError("queueMicrotask needs a function to call");
      apply(then, apply(then, settled, [() => callback()]), [undefined, fail]);
    },
  })) {
    defineProperty(globalThis, key, { value, writable: true, configurable: true, enumerable: false });
  }
  lazily("console", ["console"]);
  lazily("errors", ["DOMException"]);
  lazily("encoding", ["TextEncoder", "TextDecoder", "atob", "btoa"]);
  lazily("url", ["URL", "URLSearchParams"]);
  lazily("clone", ["structuredClone"]);
  lazily("crypto", ["crypto"]);
  lazily("abort", ["AbortController", "AbortSignal"]);
  delete globalThis.WebAssembly;
  delete globalThis.SharedArrayBuffer;
  return [buffer, start, launch, pump, link, wanted, space, answer];
}
