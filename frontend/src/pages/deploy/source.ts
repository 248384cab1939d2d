/** A source in the browser: a folder or an archive that was chosen or dropped, packed and brought to the server. */
import { bring, canBring } from "../../api/blobs";
import { ignoring, LISTS } from "./ignore";
import { type Entry, tarOf } from "./tar";

const MIB = 1024 * 1024;
const BYTES_MAX = 256 * MIB;
const ARCHIVE = /\.(zip|tar|tar\.gz|tgz)$/i;

/** What is to be deployed: `title` is what it could be called, `files` those packed, `ignored` those left out. */
export interface Source {
  title: string;
  archive: Blob;
  files: number | null;
  ignored: number;
  /** It has an anchor-app.toml, which only the command line reads. */
  hasAppFile: boolean;
}

/** The files of a folder, or the one archive, that somebody chose. */
export async function sourceOf(entries: readonly Entry[]): Promise<Source> {
  const [first] = entries;
  if (first === undefined) throw new Error("There are no files in it.");
  if (entries.length === 1 && ARCHIVE.test(first.path)) return within(archived(first));
  const root = rootOf(entries);
  const inside = entries.map(({ path, file }) => ({ path: path.slice(root.length), file }));
  const list = LISTS.map((name) => inside.find((one) => one.path === name)).find((one) => one !== undefined);
  const isOut = ignoring(list === undefined ? "" : await list.file.text());
  const kept = inside.filter((one) => !isOut(one.path));
  if (kept.length === 0)
    throw new Error("Nothing is left of it: all of its files are on the list of what to leave out.");
  return within({
    title: (await nameIn(kept)) || root.replace(/\/$/, "").split("/").at(-1) || "",
    archive: await tarOf(kept),
    files: kept.length,
    ignored: inside.length - kept.length,
    hasAppFile: kept.some((one) => one.path === "anchor-app.toml"),
  });
}

function archived({ path, file }: Entry): Source {
  const title = path.replace(ARCHIVE, "").split("/").at(-1) ?? "";
  return { title, archive: file, files: null, ignored: 0, hasAppFile: false };
}

function within(source: Source): Source {
  if (source.archive.size <= BYTES_MAX) return source;
  const size = Math.round(source.archive.size / MIB);
  throw new Error(`It has ${size} MiB; at most 256 MiB are taken. Leave out what is installed or built anyway.`);
}

/** The folder that all of them lie in, with a slash; nothing where they lie in several. */
function rootOf(entries: readonly Entry[]): string {
  const root = `${entries[0]?.path.split("/")[0]}/`;
  return entries.every((one) => one.path.startsWith(root)) ? root : "";
}

async function nameIn(entries: readonly Entry[]): Promise<string> {
  const text = await entries.find((one) => one.path === "package.json")?.file.text();
  try {
    const name: unknown = JSON.parse(text ?? "{}").name;
    return typeof name === "string" ? name.replace(/^@[^/]*\//, "") : "";
  } catch {
    return ""; // Whoever builds the app says what is wrong with its package.json.
  }
}

/** Files of an <input>, under the paths they have in the folder that was chosen. */
export function entriesOf(files: FileList | null): Entry[] {
  return [...(files ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
}

/** What was dropped: files, and folders with all that lies in them. */
export async function droppedEntries(data: DataTransfer): Promise<Entry[]> {
  // All of them at once: what was dropped is gone after the first wait.
  const roots = [...data.items].flatMap((item) => item.webkitGetAsEntry() ?? []);
  const found: Entry[] = [];
  const walk = async (entry: FileSystemEntry): Promise<void> => {
    const path = entry.fullPath.replace(/^\//, "");
    if (entry.isFile) {
      const file = await new Promise<File>((got, not) => (entry as FileSystemFileEntry).file(got, not));
      found.push({ path, file });
      return;
    }
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    const next = () => new Promise<FileSystemEntry[]>((got, not) => reader.readEntries(got, not));
    for (let some = await next(); some.length > 0; some = await next()) {
      for (const one of some) if (!ALWAYS_OUT.has(one.name)) await walk(one);
    }
  };
  for (const root of roots) await walk(root);
  return found;
}

/** Folders that are not even looked into: they are large, and left out in any case. */
const ALWAYS_OUT = new Set([".git", "node_modules", ".venv", "venv", "__pycache__"]);

/** Bring an archive to the server, which keeps it under its digest. */
export async function uploaded(archive: Blob): Promise<string> {
  if (canBring()) return bring(archive);
  throw new Error(
    "A browser uploads only to servers it reaches over HTTPS, or on its own machine. Use anchor app deploy.",
  );
}
