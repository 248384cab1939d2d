/** Files into a tar archive (ustar), as the server takes it. */

const BLOCK = 512;
const NAME_BYTES_MAX = 100;
const PREFIX_BYTES_MAX = 155;
const encoder = new TextEncoder();

/** A file to be packed under this path. */
export interface Entry {
  path: string;
  file: Blob;
}

/** The archive; parts of it are the files themselves, so that nothing is copied before it is sent. */
export async function tarOf(entries: readonly Entry[]): Promise<Blob> {
  const parts: BlobPart[] = [];
  for (const { path, file } of [...entries].sort((one, other) => (one.path < other.path ? -1 : 1))) {
    parts.push(headerOf(path, file.size, await isProgram(file)), file, new Uint8Array(-file.size & (BLOCK - 1)));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  return new Blob(parts, { type: "application/x-tar" });
}

/** A browser does not tell which files may be executed: those that say what runs them may. */
async function isProgram(file: Blob): Promise<boolean> {
  return (await file.slice(0, 2).text()) === "#!";
}

function headerOf(path: string, size: number, executable: boolean): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(BLOCK);
  const put = (text: string | Uint8Array, at: number) =>
    header.set(typeof text === "string" ? encoder.encode(text) : text, at);
  const number = (value: number, digits: number) => `${value.toString(8).padStart(digits, "0")}\0`;
  const { prefix, name } = split(path);
  put(name, 0);
  put(number(executable ? 0o755 : 0o644, 7), 100);
  put(number(0, 7), 108);
  put(number(0, 7), 116);
  put(number(size, 11), 124);
  put(number(0, 11), 136);
  put("        0", 148);
  put("ustar\x0000", 257);
  put(prefix, 345);
  const sum = header.reduce((whole, byte) => whole + byte, 0);
  put(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}

/** A path as ustar has it: 100 bytes of name, and up to 155 of folders before them. */
function split(path: string): { prefix: Uint8Array; name: Uint8Array } {
  const whole = encoder.encode(path);
  if (whole.length <= NAME_BYTES_MAX) return { prefix: new Uint8Array(), name: whole };
  for (let at = path.indexOf("/"); at > 0; at = path.indexOf("/", at + 1)) {
    const [prefix, name] = [encoder.encode(path.slice(0, at)), encoder.encode(path.slice(at + 1))];
    if (name.length <= NAME_BYTES_MAX && name.length > 0 && prefix.length <= PREFIX_BYTES_MAX) return { prefix, name };
  }
  throw new Error(`The path ${path} is too long to be packed here: use anchor app deploy.`);
}
