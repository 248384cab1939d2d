// TextEncoder, TextDecoder, atob and btoa (encoding.spec.whatwg.org; of the encodings UTF-8, UTF-16LE and windows-1252).
({ DOMException }) => {
  const fromUnits = String.fromCharCode;
  const CHUNK = 4096;
  const LABELS = new Map();
  for (const [name, labels] of [
    ["utf-8", "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8"],
    ["utf-16le", "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le"],
    ["windows-1252", "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252"],
  ]) for (const label of labels.split(" ")) LABELS.set(label, name);
  const WINDOWS = [...Array(128).keys()].map((at) => at + 128);
  WINDOWS.splice(0, 32, ...[..."€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ"].map((character) => character.charCodeAt(0)));

  const bytesOf = (source) => {
    if (source === undefined) return new Uint8Array(0);
    if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
    if (source instanceof ArrayBuffer) return new Uint8Array(source);
    throw new TypeError("The bytes to decode have to be an ArrayBuffer, a typed array or a DataView");
  };

  // Writes the UTF-8 of `text` into `bytes` from 0; how much was read and written.
  const encodeInto = (text, bytes) => {
    let at = 0;
    let written = 0;
    for (; at < text.length; at++) {
      let point = text.charCodeAt(at);
      let units = 1;
      if ((point & 0xf800) === 0xd800) {
        const low = point < 0xdc00 && at + 1 < text.length ? text.charCodeAt(at + 1) : 0;
        if ((low & 0xfc00) === 0xdc00) {
          point = 0x10000 + ((point & 0x3ff) << 10) + (low & 0x3ff);
          units = 2;
        } else point = 0xfffd;
      }
      const size = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
      if (written + size > bytes.length) break;
      if (size === 1) bytes[written++] = point;
      else {
        bytes[written++] = (size === 2 ? 0xc0 : size === 3 ? 0xe0 : 0xf0) | (point >> (6 * (size - 1)));
        for (let left = size - 2; left >= 0; left--) bytes[written++] = 0x80 | ((point >> (6 * left)) & 0x3f);
      }
      at += units - 1;
    }
    return { read: at, written };
  };

  const lengthOf = (text) => {
    let length = text.length;
    for (let at = 0; at < text.length; at++) {
      const unit = text.charCodeAt(at);
      if (unit < 0x80) continue;
      if (unit < 0x800) length++;
      else {
        length += 2;
        if ((unit & 0xfc00) === 0xd800 && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00) at++;
      }
    }
    return length;
  };

  class TextEncoder {
    get encoding() { return "utf-8"; }
    encode(source = "") {
      const text = `${source}`;
      const bytes = new Uint8Array(lengthOf(text));
      encodeInto(text, bytes);
      return bytes;
    }
    encodeInto(source, destination) {
      if (!(destination instanceof Uint8Array)) throw new TypeError("encodeInto needs a Uint8Array to write to");
      return encodeInto(`${source}`, destination);
    }
  }

  // Collects UTF-16 units and makes text of them.
  const gather = () => {
    const units = new Uint16Array(CHUNK);
    let text = "";
    let filled = 0;
    const flush = () => {
      text += fromUnits.apply(undefined, filled === CHUNK ? units : units.subarray(0, filled));
      filled = 0;
    };
    return {
      put: (unit) => {
        if (filled === CHUNK) flush();
        units[filled++] = unit;
      },
      text: () => { flush(); return text; },
    };
  };

  class TextDecoder {
    #name; #fatal; #ignoreBOM;
    #started = false;
    // UTF-8: the character so far, how many bytes it still lacks, and what the next one may be. UTF-16: half of it.
    #point = 0; #needed = 0; #lower = 0x80; #upper = 0xbf;
    #half = -1; #lead = -1;
    constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
      const name = LABELS.get(`${label}`.replace(/^[\t\n\f\r ]+|[\t\n\f\r ]+$/g, "").toLowerCase());
      if (name === undefined) throw new RangeError(`The encoding '${label}' is not supported; use utf-8, utf-16le or latin1`);
      this.#name = name;
      this.#fatal = Boolean(fatal);
      this.#ignoreBOM = Boolean(ignoreBOM);
    }
    get encoding() { return this.#name; }
    get fatal() { return this.#fatal; }
    get ignoreBOM() { return this.#ignoreBOM; }
    decode(source, { stream = false } = {}) {
      const bytes = bytesOf(source);
      const out = gather();
      const bad = () => {
        if (this.#fatal) {
          this.#reset();
          throw new TypeError(`The bytes are not ${this.#name}`);
        }
        put(0xfffd);
      };
      const put = (unit) => {
        const first = !this.#started;
        this.#started = true;
        if (!(first && unit === 0xfeff && !this.#ignoreBOM && this.#name !== "windows-1252")) out.put(unit);
      };
      if (this.#name === "utf-8") this.#utf8(bytes, put, bad);
      else if (this.#name === "utf-16le") this.#utf16(bytes, put, bad);
      else for (const byte of bytes) put(byte < 128 ? byte : WINDOWS[byte - 128]);
      if (!stream) {
        const torn = this.#needed > 0 || this.#half >= 0 || this.#lead >= 0;
        if (torn) bad();
        this.#reset();
      }
      return out.text();
    }
    #reset() {
      this.#started = false;
      this.#needed = 0;
      this.#lower = 0x80;
      this.#upper = 0xbf;
      this.#half = this.#lead = -1;
    }
    #utf8(bytes, put, bad) {
      for (let at = 0; at < bytes.length; at++) {
        const byte = bytes[at];
        if (this.#needed === 0) {
          if (byte < 0x80) put(byte);
          else if (byte >= 0xc2 && byte <= 0xdf) { this.#needed = 1; this.#point = byte & 0x1f; }
          else if (byte >= 0xe0 && byte <= 0xef) {
            if (byte === 0xe0) this.#lower = 0xa0;
            if (byte === 0xed) this.#upper = 0x9f;
            this.#needed = 2;
            this.#point = byte & 0xf;
          } else if (byte >= 0xf0 && byte <= 0xf4) {
            if (byte === 0xf0) this.#lower = 0x90;
            if (byte === 0xf4) this.#upper = 0x8f;
            this.#needed = 3;
            this.#point = byte & 7;
          } else bad();
          continue;
        }
        const fits = byte >= this.#lower && byte <= this.#upper;
        this.#lower = 0x80;
        this.#upper = 0xbf;
        if (!fits) {
          this.#needed = 0;
          bad();
          at--;
          continue;
        }
        this.#point = (this.#point << 6) | (byte & 0x3f);
        if (--this.#needed > 0) continue;
        if (this.#point < 0x10000) put(this.#point);
        else {
          put(0xd800 + ((this.#point - 0x10000) >> 10));
          put(0xdc00 + ((this.#point - 0x10000) & 0x3ff));
        }
      }
    }
    #utf16(bytes, put, bad) {
      for (const byte of bytes) {
        if (this.#half < 0) { this.#half = byte; continue; }
        const unit = this.#half | (byte << 8);
        this.#half = -1;
        if (this.#lead >= 0) {
          const lead = this.#lead;
          this.#lead = -1;
          if ((unit & 0xfc00) === 0xdc00) { put(lead); put(unit); continue; }
          bad();
        }
        if ((unit & 0xfc00) === 0xd800) this.#lead = unit;
        else if ((unit & 0xfc00) === 0xdc00) bad();
        else put(unit);
      }
    }
  }

  const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const btoa = (source) => {
    const text = `${source}`;
    let encoded = "";
    for (let at = 0; at < text.length; at += 3) {
      let bits = 0;
      for (let next = 0; next < 3; next++) {
        const unit = at + next < text.length ? text.charCodeAt(at + next) : 0;
        if (unit > 255) throw new DOMException("btoa takes characters up to U+00FF only", "InvalidCharacterError");
        bits = (bits << 8) | unit;
      }
      encoded += DIGITS[bits >> 18] + DIGITS[(bits >> 12) & 63];
      encoded += at + 1 < text.length ? DIGITS[(bits >> 6) & 63] : "=";
      encoded += at + 2 < text.length ? DIGITS[bits & 63] : "=";
    }
    return encoded;
  };
  const atob = (source) => {
    let text = `${source}`.replace(/[\t\n\f\r ]/g, "");
    if (text.length % 4 === 0) text = text.replace(/={1,2}$/, "");
    if (text.length % 4 === 1 || /[^A-Za-z0-9+/]/.test(text)) {
      throw new DOMException("The text to decode is not Base64", "InvalidCharacterError");
    }
    const out = gather();
    let bits = 0;
    let count = 0;
    for (const digit of text) {
      bits = ((bits << 6) | DIGITS.indexOf(digit)) & 0xffffff;
      count += 6;
      if (count >= 8) {
        count -= 8;
        out.put((bits >> count) & 255);
      }
    }
    return out.text();
  };
  return { TextEncoder, TextDecoder, atob, btoa };
}
