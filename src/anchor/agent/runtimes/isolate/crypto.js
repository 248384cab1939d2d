// crypto: random values by ChaCha20 (RFC 8439) keyed by the worker's operating system, digests by the worker.
({ DOMException, ask, seed }) => {
  const BYTES_MAX = 65536;
  const HASHES = new Set(["SHA-1", "SHA-256", "SHA-384", "SHA-512"]);
  const state = new Uint32Array(16);
  state.set([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574]);
  state.set(seed, 4);
  const block = new Uint32Array(16);
  const bytes = new Uint8Array(block.buffer);
  let used = 64;

  const quarter = (a, b, c, d) => {
    const turn = (x, y, z, by) => {
      block[x] += block[y];
      const mixed = block[z] ^ block[x];
      block[z] = (mixed << by) | (mixed >>> (32 - by));
    };
    turn(a, b, d, 16);
    turn(c, d, b, 12);
    turn(a, b, d, 8);
    turn(c, d, b, 7);
  };
  const refill = () => {
    block.set(state);
    for (let round = 0; round < 10; round++) {
      for (let at = 0; at < 4; at++) quarter(at, at + 4, at + 8, at + 12);
      for (let at = 0; at < 4; at++) quarter(at, ((at + 1) % 4) + 4, ((at + 2) % 4) + 8, ((at + 3) % 4) + 12);
    }
    for (let at = 0; at < 16; at++) block[at] += state[at];
    if (++state[12] === 0) state[13]++;
    used = 0;
  };
  const fill = (target) => {
    for (let at = 0; at < target.length; ) {
      if (used === 64) refill();
      const size = Math.min(64 - used, target.length - at);
      target.set(bytes.subarray(used, used + size), at);
      // What was given out is not kept.
      bytes.fill(0, used, used + size);
      used += size;
      at += size;
    }
  };

  const KINDS = /^(?:(?:Big)?(?:Ui|I)nt(?:8|16|32|64)|Uint8Clamped)Array$/;
  class Crypto {
    getRandomValues(array) {
      if (!ArrayBuffer.isView(array) || !KINDS.test(array[Symbol.toStringTag])) {
        throw new DOMException("getRandomValues needs a typed array of integers", "TypeMismatchError");
      }
      if (array.byteLength > BYTES_MAX) {
        throw new DOMException(`getRandomValues fills at most ${BYTES_MAX} bytes at a time`, "QuotaExceededError");
      }
      fill(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
      return array;
    }
    randomUUID() {
      const random = new Uint8Array(16);
      fill(random);
      random[6] = (random[6] & 0x0f) | 0x40;
      random[8] = (random[8] & 0x3f) | 0x80;
      const hex = Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
      return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
    }
    get subtle() { return subtle; }
  }
  class SubtleCrypto {
    async digest(algorithm, data) {
      const name = `${typeof algorithm === "object" && algorithm !== null ? algorithm.name : algorithm}`.toUpperCase();
      if (!HASHES.has(name)) {
        throw new DOMException(`'${name}' is no digest there is; use SHA-1, SHA-256, SHA-384 or SHA-512`, "NotSupportedError");
      }
      const view = ArrayBuffer.isView(data);
      if (!view && !(data instanceof ArrayBuffer)) throw new TypeError("digest needs an ArrayBuffer, a typed array or a DataView");
      const from = view ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
      const digest = await ask({ verb: "digest", name }, from.slice().buffer);
      return digest.buffer;
    }
  }
  const subtle = new SubtleCrypto();
  return { crypto: new Crypto() };
}
