// anchor.files: what is in the task's working directory, read and written by the worker.
({ ask, TextEncoder }) => {
  const bytesOf = (data) => {
    if (typeof data === "string") return new TextEncoder().encode(data).buffer;
    if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice().buffer;
    if (data instanceof ArrayBuffer) return data.slice();
    throw new TypeError("anchor.files.write needs a text, an ArrayBuffer, a typed array or a DataView");
  };
  const text = (name) => ask({ verb: "text", name: `${name}` });
  return Object.freeze({
    read: async (name) => ask({ verb: "read", name: `${name}` }),
    text: async (name) => text(name),
    json: async (name) => {
      const source = await text(name);
      try {
        return JSON.parse(source);
      } catch (error) {
        throw new SyntaxError(`anchor.files.json('${name}'): ${error.message}`);
      }
    },
    write: async (name, data) => ask({ verb: "write", name: `${name}` }, bytesOf(data)),
    list: async () => ask({ verb: "list", name: "" }),
  });
}
