// URL and URLSearchParams (url.spec.whatwg.org). Names with characters beyond ASCII become punycode after NFKC and
// lower case, which is what UTS #46 does to all but a few special characters.
({ TextEncoder, TextDecoder }) => {
  const SPECIAL = { __proto__: null, ftp: 21, file: null, http: 80, https: 443, ws: 80, wss: 443 };
  const encoder = new TextEncoder();
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const set = (more, base = "") => new Set(base + more);
  const FRAGMENT = set(' "<>`');
  const QUERY = set(' "#<>');
  const SPECIAL_QUERY = set("'", ' "#<>');
  const PATH = set('?^`{}', ' "#<>');
  const USER = set("/:;=@[\\]|", ' "#<>?^`{}');
  const FORM = set("!'()~%&+,$", ' "#<>?^`{}/:;=@[\\]|');
  const NONE = set("");
  const FORBIDDEN_HOST = /[\0\t\n\r #/:<>?@[\\\]^|]/;
  const FORBIDDEN_DOMAIN = /[\0-\x20"#%/:<>?@[\\\]^`{|}\x7f]/;

  const hex = (byte) => `%${byte < 16 ? "0" : ""}${byte.toString(16).toUpperCase()}`;
  const percent = (text, unsafe) => {
    let encoded = "";
    for (const character of text.toWellFormed()) {
      const code = character.charCodeAt(0);
      if (code > 0x7e || code < 0x20 || unsafe.has(character)) for (const byte of encoder.encode(character)) encoded += hex(byte);
      else encoded += character;
    }
    return encoded;
  };
  const unpercent = (text) => {
    if (!text.includes("%")) return encoder.encode(text);
    const bytes = encoder.encode(text);
    const digit = (byte) => (byte >= 48 && byte <= 57 ? byte - 48 : byte >= 65 && byte <= 70 ? byte - 55 : byte >= 97 && byte <= 102 ? byte - 87 : -1);
    let to = 0;
    for (let at = 0; at < bytes.length; at++, to++) {
      const high = bytes[at] === 37 && at + 2 < bytes.length ? digit(bytes[at + 1]) : -1;
      const low = high < 0 ? -1 : digit(bytes[at + 2]);
      bytes[to] = low < 0 ? bytes[at] : high * 16 + low;
      if (low >= 0) at += 2;
    }
    return bytes.subarray(0, to);
  };

  // Punycode (RFC 3492).
  const punycode = (label) => {
    const points = Array.from(label, (character) => character.codePointAt(0));
    let out = points.filter((point) => point < 128).map((point) => String.fromCharCode(point)).join("");
    const basic = out.length;
    let done = basic;
    if (basic) out += "-";
    let n = 128, delta = 0, bias = 72;
    while (done < points.length) {
      const next = Math.min(...points.filter((point) => point >= n));
      delta += (next - n) * (done + 1);
      n = next;
      for (const point of points) {
        if (point < n) delta++;
        if (point !== n) continue;
        let q = delta;
        for (let k = 36; ; k += 36) {
          const t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
          const digit = q < t ? q : t + ((q - t) % (36 - t));
          out += String.fromCharCode(digit < 26 ? digit + 97 : digit + 22);
          if (q < t) break;
          q = Math.floor((q - t) / (36 - t));
        }
        delta = done === basic ? Math.floor(delta / 700) : delta >> 1;
        delta += Math.floor(delta / (done + 1));
        let k = 0;
        for (; delta > 455; k += 36) delta = Math.floor(delta / 35);
        bias = k + Math.floor((36 * delta) / (delta + 38));
        delta = 0;
        done++;
      }
      delta++;
      n++;
    }
    return out;
  };
  const toASCII = (domain) => {
    const flat = domain.replace(/[\u00ad\u200b\u2060\ufeff\u180b-\u180d\ufe00-\ufe0f]/g, "").normalize("NFKC").toLowerCase().normalize("NFC").replace(/\u3002/g, ".");
    return flat.split(".").map((label) => (/[^\0-\x7f]/.test(label) ? `xn--${punycode(label)}` : label)).join(".");
  };

  const ipv4Number = (text) => {
    if (text === "") return NaN;
    if (/^0[xX]/.test(text)) return text.length === 2 ? 0 : /^0[xX][0-9a-fA-F]+$/.test(text) ? Number(text) : NaN;
    if (text.length > 1 && text[0] === "0") return /^[0-7]+$/.test(text) ? parseInt(text, 8) : NaN;
    return /^\d+$/.test(text) ? Number(text) : NaN;
  };
  const endsInNumber = (host) => {
    const parts = host.split(".");
    if (parts.at(-1) === "" && parts.length > 1) parts.pop();
    return /^\d+$/.test(parts.at(-1)) || !Number.isNaN(ipv4Number(parts.at(-1)));
  };
  const ipv4 = (host) => {
    const parts = host.split(".");
    if (parts.at(-1) === "" && parts.length > 1) parts.pop();
    const numbers = parts.map(ipv4Number);
    if (parts.length > 4 || numbers.some(Number.isNaN) || numbers.slice(0, -1).some((number) => number > 255)) return null;
    if (numbers.at(-1) >= 256 ** (5 - numbers.length)) return null;
    let address = numbers.at(-1);
    numbers.slice(0, -1).forEach((number, at) => { address += number * 256 ** (3 - at); });
    return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
  };
  const ipv6 = (text) => {
    const halves = text.split("::");
    if (halves.length > 2) return null;
    const groups = (part, last) => {
      if (part === "") return [];
      const all = part.split(":");
      const numbers = [];
      for (const [at, group] of all.entries()) {
        if (group.includes(".")) {
          const quad = /^(?:(?:0|[1-9]\d{0,2})\.){3}(?:0|[1-9]\d{0,2})$/.test(group) ? group.split(".").map(Number) : null;
          if (!last || at !== all.length - 1 || !quad || quad.some((number) => number > 255)) return null;
          numbers.push(quad[0] * 256 + quad[1], quad[2] * 256 + quad[3]);
        } else if (/^[0-9a-fA-F]{1,4}$/.test(group)) numbers.push(parseInt(group, 16));
        else return null;
      }
      return numbers;
    };
    const head = groups(halves[0], halves.length === 1);
    const tail = halves.length === 2 ? groups(halves[1], true) : [];
    if (!head || !tail || (halves.length === 1 ? head.length !== 8 : head.length + tail.length > 7)) return null;
    const all = [...head, ...Array(8 - head.length - tail.length).fill(0), ...tail];
    // The longest run of zeros is left out.
    let best = -1, length = 1;
    for (let at = 0; at < 8; at++) {
      let end = at;
      while (end < 8 && all[end] === 0) end++;
      if (end - at > length) { best = at; length = end - at; }
      if (end > at) at = end;
    }
    const written = all.map((number) => number.toString(16));
    if (best < 0) return `[${written.join(":")}]`;
    return `[${written.slice(0, best).join(":")}::${written.slice(best + length).join(":")}]`;
  };
  const parseHost = (text, special) => {
    if (text[0] === "[") return text.endsWith("]") ? ipv6(text.slice(1, -1)) : null;
    if (!special) return FORBIDDEN_HOST.test(text) ? null : percent(text, NONE);
    const host = toASCII(decoder.decode(unpercent(text)));
    if (host === "" || FORBIDDEN_DOMAIN.test(host) || /(?:^|\.)xn--(?:\.|$)/.test(host)) return null;
    return endsInNumber(host) ? ipv4(host) : host;
  };

  const single = (part) => /^(?:\.|%2e)$/i.test(part);
  const double = (part) => /^(?:\.|%2e){2}$/i.test(part);
  const driveLetter = (part) => /^[a-zA-Z][:|]$/.test(part);
  const startsWithDrive = (text) => /^[a-zA-Z][:|](?:$|[/\\?#])/.test(text);
  const shorten = (url) => {
    if (url.scheme === "file" && url.path.length === 1 && /^[a-zA-Z]:$/.test(url.path[0])) return;
    url.path.pop();
  };
  const isSpecial = (url) => url.scheme in SPECIAL;

  // The basic URL parser, part by part instead of state by state. All return false where the URL is invalid.
  const parsePath = (url, text) => {
    const special = isSpecial(url);
    const parts = text.split(special ? /[/\\]/ : "/");
    parts.forEach((part, at) => {
      const last = at === parts.length - 1;
      if (double(part)) {
        shorten(url);
        if (last) url.path.push("");
      } else if (single(part)) {
        if (last) url.path.push("");
      } else {
        if (url.scheme === "file" && url.path.length === 0 && driveLetter(part)) part = `${part[0]}:`;
        url.path.push(percent(part, PATH));
      }
    });
  };
  const parsePort = (url, text) => {
    if (!/^\d*$/.test(text)) return false;
    if (text === "") { url.port = null; return true; }
    const port = Number(text);
    if (port > 65535) return false;
    url.port = port === SPECIAL[url.scheme] ? null : port;
    return true;
  };
  const splitPort = (text) => {
    const found = /^((?:\[[^\]]*\]|[^:[])*(?:\[[^\]]*)?)(?::(.*))?$/s.exec(text);
    return found ? [found[1], found[2]] : [text, undefined];
  };
  const parseAuthority = (url, text) => {
    const at = text.lastIndexOf("@");
    if (at >= 0) {
      const user = text.slice(0, at);
      const colon = user.indexOf(":");
      url.username = percent(colon < 0 ? user : user.slice(0, colon), USER);
      url.password = colon < 0 ? "" : percent(user.slice(colon + 1), USER);
    }
    const [host, port] = splitPort(text.slice(at + 1));
    if (host === "" && (isSpecial(url) || at >= 0 || port !== undefined)) return false;
    url.host = host === "" ? "" : parseHost(host, isSpecial(url));
    return url.host !== null && (port === undefined || parsePort(url, port));
  };
  const untilPath = (text, special) => {
    const end = text.search(special ? /[/\\?#]/ : /[/?#]/);
    return end < 0 ? text.length : end;
  };
  // Cuts `#fragment` and `?query` off.
  const cut = (url, text, inherited) => {
    const hash = text.indexOf("#");
    url.fragment = hash < 0 ? null : percent(text.slice(hash + 1), FRAGMENT);
    if (hash >= 0) text = text.slice(0, hash);
    const mark = text.indexOf("?");
    url.query = mark < 0 ? inherited : percent(text.slice(mark + 1), isSpecial(url) ? SPECIAL_QUERY : QUERY);
    return mark < 0 ? text : text.slice(0, mark);
  };
  const fresh = (scheme) => ({ scheme, username: "", password: "", host: null, port: null, path: [], query: null, fragment: null });

  const parse = (given, base) => {
    const text = given.replace(/^[\0-\x20]+|[\0-\x20]+$/g, "").replace(/[\t\n\r]/g, "");
    const found = /^([a-zA-Z][a-zA-Z0-9+\-.]*):/.exec(text);
    if (!found) return base ? relative(text, base) : null;
    const url = fresh(found[1].toLowerCase());
    const rest = text.slice(found[0].length);
    if (url.scheme === "file") return file(url, rest, base?.scheme === "file" ? base : null);
    if (isSpecial(url)) {
      if (base && base.scheme === url.scheme && !/^[/\\]{2}/.test(rest) && !rest.startsWith("//")) return relative(rest, base);
      return withAuthority(url, rest.replace(/^[/\\]*/, ""));
    }
    if (rest.startsWith("//")) return withAuthority(url, rest.slice(2));
    if (rest.startsWith("/")) {
      parsePath(url, cut(url, rest, null).slice(1));
      return url;
    }
    const opaque = cut(url, rest, null);
    url.path = percent(opaque, NONE);
    if (url.path.endsWith(" ") && (url.query !== null || url.fragment !== null)) url.path = `${url.path.slice(0, -1)}%20`;
    return url;
  };
  const withAuthority = (url, text) => {
    const end = untilPath(text, isSpecial(url));
    if (!parseAuthority(url, text.slice(0, end))) return null;
    const path = cut(url, text.slice(end), null);
    if (path !== "") parsePath(url, path.slice(1));
    else if (isSpecial(url)) url.path.push("");
    return url;
  };
  const relative = (text, base) => {
    if (typeof base.path === "string") {
      if (text[0] !== "#") return null;
      return { ...base, fragment: percent(text.slice(1), FRAGMENT) };
    }
    if (base.scheme === "file") return file(fresh("file"), text, base);
    const url = fresh(base.scheme);
    const slash = isSpecial(url) ? /^[/\\]/ : /^\//;
    if (slash.test(text) && slash.test(text.slice(1))) {
      return withAuthority(url, isSpecial(url) ? text.replace(/^[/\\]*/, "") : text.slice(2));
    }
    Object.assign(url, { username: base.username, password: base.password, host: base.host, port: base.port });
    if (slash.test(text)) {
      parsePath(url, cut(url, text, null).slice(1));
      return url;
    }
    url.path = [...base.path];
    const path = cut(url, text, text === "" || text[0] === "#" ? base.query : null);
    if (path !== "") {
      shorten(url);
      parsePath(url, path);
    }
    return url;
  };
  const file = (url, text, base) => {
    url.host = "";
    if (/^[/\\]{2}/.test(text)) {
      const rest = text.slice(2);
      const end = untilPath(rest, true);
      const host = rest.slice(0, end);
      if (driveLetter(host)) {
        parsePath(url, cut(url, rest, null));
        return url;
      }
      if (host !== "") {
        const parsed = parseHost(host, true);
        if (parsed === null) return null;
        url.host = parsed === "localhost" ? "" : parsed;
      }
      parsePath(url, cut(url, rest.slice(end), null).slice(1));
      return url;
    }
    if (base) url.host = base.host;
    if (/^[/\\]/.test(text)) {
      if (base && !startsWithDrive(text.slice(1)) && /^[a-zA-Z]:$/.test(base.path[0] ?? "")) url.path.push(base.path[0]);
      parsePath(url, cut(url, text, null).slice(1));
      return url;
    }
    if (base) url.path = [...base.path];
    const path = cut(url, text, base && (text === "" || text[0] === "#") ? base.query : null);
    if (path !== "" || !base) {
      if (startsWithDrive(path)) url.path = [];
      else shorten(url);
      parsePath(url, path);
    }
    return url;
  };

  const written = (url, withFragment = true) => {
    let text = `${url.scheme}:`;
    if (url.host !== null) {
      text += "//";
      if (url.username || url.password) text += `${url.username}${url.password ? `:${url.password}` : ""}@`;
      text += url.host + (url.port === null ? "" : `:${url.port}`);
    } else if (typeof url.path !== "string" && url.path.length > 1 && url.path[0] === "") text += "/.";
    text += pathOf(url);
    if (url.query !== null) text += `?${url.query}`;
    return withFragment && url.fragment !== null ? `${text}#${url.fragment}` : text;
  };
  const pathOf = (url) => (typeof url.path === "string" ? url.path : url.path.map((part) => `/${part}`).join(""));

  // application/x-www-form-urlencoded
  const readForm = (text) => text.split("&").filter(Boolean).map((pair) => {
    const sign = pair.indexOf("=");
    const [name, value] = sign < 0 ? [pair, ""] : [pair.slice(0, sign), pair.slice(sign + 1)];
    return [name, value].map((part) => decoder.decode(unpercent(part.replaceAll("+", " "))));
  });
  const formPart = (text) => percent(text, FORM).replaceAll("%20", "+");
  const writeForm = (pairs) => pairs.map(([name, value]) => `${formPart(name)}=${formPart(value)}`).join("&");
  const wellFormed = (value) => `${value}`.toWellFormed();

  let attach;
  class URLSearchParams {
    #pairs = [];
    #changed = null;
    static {
      attach = (params, text, changed) => {
        params.#pairs = readForm(text);
        params.#changed = changed;
        return params;
      };
    }
    constructor(init = "") {
      if (typeof init === "object" && init !== null || typeof init === "function") {
        if (init[Symbol.iterator] !== undefined && init[Symbol.iterator] !== null) {
          for (const pair of init) {
            const both = [...pair];
            if (both.length !== 2) throw new TypeError("Each pair of URLSearchParams needs a name and a value");
            this.#pairs.push(both.map(wellFormed));
          }
        } else for (const name of Object.keys(init)) this.#pairs.push([wellFormed(name), wellFormed(init[name])]);
      } else this.#pairs = readForm(wellFormed(init).replace(/^\?/, ""));
    }
    get size() { return this.#pairs.length; }
    append(name, value) { this.#pairs.push([wellFormed(name), wellFormed(value)]); this.#update(); }
    delete(name, value) {
      this.#pairs = this.#pairs.filter((pair) => pair[0] !== wellFormed(name) || (value !== undefined && pair[1] !== wellFormed(value)));
      this.#update();
    }
    get(name) { return this.#pairs.find((pair) => pair[0] === wellFormed(name))?.[1] ?? null; }
    getAll(name) { return this.#pairs.filter((pair) => pair[0] === wellFormed(name)).map((pair) => pair[1]); }
    has(name, value) { return this.#pairs.some((pair) => pair[0] === wellFormed(name) && (value === undefined || pair[1] === wellFormed(value))); }
    set(name, value) {
      const first = this.#pairs.find((pair) => pair[0] === wellFormed(name));
      if (first) {
        first[1] = wellFormed(value);
        this.#pairs = this.#pairs.filter((pair) => pair === first || pair[0] !== first[0]);
      } else this.#pairs.push([wellFormed(name), wellFormed(value)]);
      this.#update();
    }
    sort() {
      this.#pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
      this.#update();
    }
    forEach(callback, self) { for (const [name, value] of this) Reflect.apply(callback, self, [value, name, this]); }
    *entries() { for (let at = 0; at < this.#pairs.length; at++) yield [...this.#pairs[at]]; }
    *keys() { for (const [name] of this) yield name; }
    *values() { for (const [, value] of this) yield value; }
    [Symbol.iterator]() { return this.entries(); }
    toString() { return writeForm(this.#pairs); }
    get [Symbol.toStringTag]() { return "URLSearchParams"; }
    #update() { this.#changed?.(writeForm(this.#pairs)); }
  }

  const parsed = (given, base) => {
    const from = base === undefined ? null : parse(wellFormed(base), null);
    return base !== undefined && from === null ? null : parse(wellFormed(given), from);
  };
  class URL {
    #url;
    #params = null;
    constructor(given, base) {
      this.#url = parsed(given, base);
      if (this.#url === null) throw Object.assign(new TypeError(`Invalid URL: ${wellFormed(given).slice(0, 200)}`), { code: "ERR_INVALID_URL" });
    }
    static canParse(given, base) { return parsed(given, base) !== null; }
    static parse(given, base) { return parsed(given, base) === null ? null : new URL(given, base); }
    get href() { return written(this.#url); }
    set href(value) {
      const url = parse(wellFormed(value), null);
      if (url === null) throw new TypeError(`Invalid URL: ${wellFormed(value).slice(0, 200)}`);
      this.#url = url;
      this.#refresh();
    }
    get origin() {
      const { scheme, host, port } = this.#url;
      if (scheme === "blob" && typeof this.#url.path === "string") {
        const inner = parse(this.#url.path, null);
        return inner && /^https?$/.test(inner.scheme) ? new URL(this.#url.path).origin : "null";
      }
      return scheme in SPECIAL && scheme !== "file" ? `${scheme}://${host}${port === null ? "" : `:${port}`}` : "null";
    }
    get protocol() { return `${this.#url.scheme}:`; }
    set protocol(value) {
      const found = /^([a-zA-Z][a-zA-Z0-9+\-.]*)(?::|$)/.exec(wellFormed(value));
      if (!found) return;
      const url = this.#url;
      const scheme = found[1].toLowerCase();
      if (scheme in SPECIAL !== isSpecial(url)) return;
      if (scheme === "file" && (url.username || url.password || url.port !== null)) return;
      if (url.scheme === "file" && url.host === "") return;
      url.scheme = scheme;
      if (url.port === SPECIAL[scheme]) url.port = null;
    }
    #bare() { return !this.#url.host || this.#url.scheme === "file"; }
    get username() { return this.#url.username; }
    set username(value) { if (!this.#bare()) this.#url.username = percent(`${value}`, USER); }
    get password() { return this.#url.password; }
    set password(value) { if (!this.#bare()) this.#url.password = percent(`${value}`, USER); }
    get host() { const { host, port } = this.#url; return (host ?? "") + (port === null ? "" : `:${port}`); }
    set host(value) { this.#setHost(value, true); }
    get hostname() { return this.#url.host ?? ""; }
    set hostname(value) { this.#setHost(value, false); }
    #setHost(value, withPort) {
      const url = this.#url;
      if (typeof url.path === "string") return;
      const text = wellFormed(value).replace(/[\t\n\r]/g, "");
      const [name, port] = splitPort(text.slice(0, untilPath(text, isSpecial(url))));
      if (name.includes("@") || (!withPort && port !== undefined)) return;
      if (name === "" && (port !== undefined || (isSpecial(url) && url.scheme !== "file") || url.username || url.password || url.port !== null)) return;
      let host = name === "" ? "" : parseHost(name, isSpecial(url));
      if (host === null) return;
      if (url.scheme === "file") {
        if (port !== undefined) return;
        if (host === "localhost") host = "";
      }
      url.host = host;
      if (port) this.port = port;
    }
    get port() { return this.#url.port === null ? "" : `${this.#url.port}`; }
    set port(value) {
      if (this.#bare()) return;
      const text = wellFormed(value).replace(/[\t\n\r]/g, "");
      const digits = /^\d*/.exec(text)[0];
      if (digits !== "" || text === "") parsePort(this.#url, digits);
    }
    get pathname() { return pathOf(this.#url); }
    set pathname(value) {
      const url = this.#url;
      if (typeof url.path === "string") return;
      const text = wellFormed(value).replace(/[\t\n\r]/g, "");
      url.path = [];
      if (text === "" && !isSpecial(url)) return;
      parsePath(url, (/^\//.test(text) || (isSpecial(url) && text[0] === "\\") ? text.slice(1) : text).replace(/[?#]/g, (mark) => hex(mark.charCodeAt(0))));
    }
    get search() { return this.#url.query ? `?${this.#url.query}` : ""; }
    set search(value) {
      const text = wellFormed(value).replace(/[\t\n\r]/g, "");
      this.#url.query = text === "" ? null : percent(text.replace(/^\?/, ""), isSpecial(this.#url) ? SPECIAL_QUERY : QUERY);
      this.#refresh();
    }
    get searchParams() {
      if (this.#params === null) {
        this.#params = new URLSearchParams();
        this.#refresh();
      }
      return this.#params;
    }
    #refresh() {
      if (this.#params) attach(this.#params, this.#url.query ?? "", (query) => { this.#url.query = query || null; });
    }
    get hash() { return this.#url.fragment ? `#${this.#url.fragment}` : ""; }
    set hash(value) {
      const text = wellFormed(value).replace(/[\t\n\r]/g, "");
      this.#url.fragment = text === "" ? null : percent(text.replace(/^#/, ""), FRAGMENT);
    }
    toString() { return this.href; }
    toJSON() { return this.href; }
    get [Symbol.toStringTag]() { return "URL"; }
  }
  return { URL, URLSearchParams };
}
