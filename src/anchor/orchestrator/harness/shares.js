// Runs a map or a reduce in JavaScript, in an isolate or in Node: this text stands behind the user's own.
const _anchor = (() => {
  const COMBINE_AT = 256;
  const fs = typeof require === "function" ? require("fs") : null;
  const env = fs ? process.env : anchor.env;
  const bytesOf = async (name) => (fs ? new Uint8Array(fs.readFileSync(name)) : await anchor.files.read(name));
  const textOf = async (name) => (fs ? fs.readFileSync(name, "utf8") : await anchor.files.text(name));
  const write = async (name, text) => (fs ? fs.writeFileSync(name, text) : await anchor.files.write(name, text));
  const table = Uint32Array.from({ length: 256 }, (_, byte) => {
    for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
    return byte;
  });
  const encoder = new TextEncoder();

  function crc32(text) {
    let crc = -1;
    for (const byte of encoder.encode(text)) crc = (crc >>> 8) ^ table[(crc ^ byte) & 255];
    return (crc ^ -1) >>> 0;
  }

  function keyOf(key) {
    if (typeof key === "string") return key;
    if (Number.isInteger(key)) return String(key);
    throw new TypeError(`a key is a string or a whole number, not ${typeof key}`);
  }

  async function records() {
    if (env.ANCHOR_MAP_OVER === "values") return input;
    return [env.ANCHOR_MAP_OVER === "bytes" ? await bytesOf("item") : await textOf("item")];
  }

  async function map(mapper, combine) {
    if (typeof mapper !== "function") throw new ReferenceError("the source defines no function map(item)");
    const groups = new Map();
    let count = 0, pairs = 0;
    for (const record of await records()) {
      count++;
      const made = await mapper(record);
      if (made === undefined || made === null) continue;
      for (const [raw, value] of typeof made[Symbol.iterator] === "function" ? made : Object.entries(made)) {
        pairs++;
        const key = keyOf(raw);
        const values = groups.get(key);
        if (values === undefined) groups.set(key, [value]);
        else if (values.push(value) >= COMBINE_AT && combine) groups.set(key, [await combine(key, values)]);
      }
    }
    const reducers = Number(env.ANCHOR_REDUCERS);
    const shares = Array.from({ length: reducers }, () => []);
    for (const [key, values] of groups) {
      const kept = combine && values.length > 1 ? [await combine(key, values)] : values;
      shares[crc32(key) % reducers].push(`${JSON.stringify(key)}:${JSON.stringify(kept)}`);
    }
    for (const [number, share] of shares.entries()) {
      const saysNothing = !groups.size && !number; // where nothing was emitted, one file says so
      if (share.length || saysNothing) await write(`part-${String(number).padStart(4, "0")}`, `{${share.join(",")}}`);
    }
    return { records: count, pairs, keys: groups.size };
  }

  async function reduce(reducer) {
    if (typeof reducer !== "function") throw new ReferenceError("the source defines no function reduce(key, values)");
    const groups = new Map();
    for (const name of JSON.parse(env.ANCHOR_SHARE).sort()) {
      for (const [key, values] of Object.entries(JSON.parse(await textOf(name)))) {
        const known = groups.get(key);
        if (known === undefined) groups.set(key, values);
        else for (const value of values) known.push(value);
      }
    }
    const pairs = [];
    for (const key of [...groups.keys()].sort()) {
      const value = await reducer(key, groups.get(key));
      pairs.push([key, value === undefined ? null : value]);
    }
    return pairs;
  }

  return { map, reduce };
})();
