// `console`: lines for the worker, values shown the way Node shows them.
({ write }) => {
  const { stringify } = JSON;
  const { getPrototypeOf, is, keys } = Object;
  const { now } = Date;
  const text = String;

  const name = (value) => {
    const constructor = getPrototypeOf(value)?.constructor;
    return typeof constructor === "function" && constructor.name ? constructor.name : "Object";
  };

  const list = (open, items, close) => {
    const flat = items.join(", ");
    if (items.length === 0) return open + close;
    return flat.length <= 72 && !flat.includes("\n")
      ? `${open} ${flat} ${close}`
      : `${open}\n  ${items.join(",\n").replaceAll("\n", "\n  ")}\n${close}`;
  };

  const some = (iterable, one) => {
    const items = [];
    for (const item of iterable) {
      if (items.length === 100) {
        items.push("\u2026");
        break;
      }
      items.push(one(item));
    }
    return items;
  };

  // A line with a stack in it goes to the worker marked as such: it knows the places in the author's own sources.
  let marked = 0;
  const withStack = (error) => {
    marked = 2;
    return text(error.stack ?? error);
  };

  const show = (value, above = []) => {
    if (typeof value === "string") return above.length ? stringify(value) : value;
    if (typeof value === "bigint") return `${value}n`;
    if (typeof value === "function") return `[Function: ${value.name || "anonymous"}]`;
    if (value === null || typeof value !== "object") return is(value, -0) ? "-0" : text(value);
    if (above.includes(value)) return "[Circular]";
    if (value instanceof Error) return withStack(value);
    if (value instanceof Date || value instanceof RegExp) return text(value);
    const kind = name(value);
    if (above.length > 3) return `[${kind}]`;
    const inner = (item) => show(item, [...above, value]);
    if (Array.isArray(value)) return list("[", some(value, inner), "]");
    if (ArrayBuffer.isView(value) && kind !== "DataView") return list(`${kind}(${value.length}) [`, some(value, inner), "]");
    if (value instanceof Set) return list(`Set(${value.size}) {`, some(value, inner), "}");
    if (value instanceof Map) {
      return list(`Map(${value.size}) {`, some(value, ([key, item]) => `${inner(key)} => ${inner(item)}`), "}");
    }
    const label = /^[A-Za-z_$][\w$]*$/;
    const entries = some(keys(value), (key) => `${label.test(key) ? key : stringify(key)}: ${inner(value[key])}`);
    return list(kind === "Object" ? "{" : `${kind} {`, entries, "}");
  };

  const format = (values) => {
    let from = 0;
    let line = "";
    if (typeof values[0] === "string" && values.length > 1) {
      from = 1;
      line = values[0].replace(/%[sdifjoOc%]/g, (mark) => {
        if (mark === "%%") return "%";
        if (from >= values.length) return mark;
        const value = values[from++];
        if (mark === "%s") return typeof value === "object" ? show(value) : text(value);
        if (mark === "%d" || mark === "%f") return text(Number(value));
        if (mark === "%i") return text(Math.trunc(Number(value)));
        if (mark === "%j") return text(stringify(value));
        return mark === "%c" ? "" : show(value, [values]);
      });
    }
    for (let at = from; at < values.length; at++) line += (at ? " " : "") + show(values[at]);
    return line;
  };

  let indent = "";
  const printer = (stream) => (...values) => {
    marked = 0;
    const line = format(values);
    write(stream + marked, (indent ? indent + line.replaceAll("\n", `\n${indent}`) : line) + "\n");
  };
  const out = printer(1);
  const err = printer(2);
  const begun = new Map();
  const counts = new Map();
  const console = {
    log: out, info: out, debug: out, dir: (value) => out(value), table: out,
    warn: err, error: err,
    trace: (...values) => {
      const here = new Error(format(values));
      here.name = "Trace";
      here.stack = here.stack.replace(/^Error/, "Trace");
      err(here);
    },
    assert: (fine, ...values) => { if (!fine) err(`Assertion failed${values.length ? ":" : ""}`, ...values); },
    group: (...values) => { if (values.length) out(...values); indent += "  "; },
    groupEnd: () => { indent = indent.slice(2); },
    count: (label = "default") => { counts.set(label, (counts.get(label) ?? 0) + 1); out(`${label}: ${counts.get(label)}`); },
    time: (label = "default") => { begun.set(label, now()); },
    timeEnd: (label = "default") => { if (begun.has(label)) out(`${label}: ${now() - begun.get(label)}ms`); },
  };
  return { console, show };
}
