/** Finds a text in lines that keep coming: only what is new is looked at. */
import type { Line } from "../live/output";

/** Remembers what was looked at for the newest question. */
export class Finder {
  private wanted = "";
  private next = 0;
  private found: number[] = [];

  /** Keys of the lines that have the text, whatever its case, in their order; none for an empty one. */
  find(lines: readonly Line[], text: string): readonly number[] {
    const wanted = text.toLowerCase();
    if (wanted !== this.wanted) {
      this.wanted = wanted;
      this.next = 0;
      this.found = [];
    }
    const first = lines[0]?.key ?? 0;
    if (wanted === "" || lines.length === 0) return [];
    // The last line of the time before may have grown since; those that were dropped are found no more.
    const from = Math.max(first, this.next - 1);
    const before = this.found.filter((key) => key >= first && key < from);
    const more = lines.slice(from - first).filter((line) => line.text.toLowerCase().includes(wanted));
    this.found = [...before, ...more.map((line) => line.key)];
    this.next = lines.at(-1)!.key + 1;
    return this.found;
  }
}

/** A text in pieces, every second of which is what was looked for. */
export function pieces(text: string, wanted: string): string[] {
  if (wanted === "") return [text];
  const low = text.toLowerCase();
  const sought = wanted.toLowerCase();
  // Some letters are longer in lower case: then places in one are not those in the other.
  if (low.length !== text.length) return [text];
  const parts: string[] = [];
  let at = 0;
  for (let hit = low.indexOf(sought); hit >= 0; hit = low.indexOf(sought, at)) {
    parts.push(text.slice(at, hit), text.slice(hit, hit + sought.length));
    at = hit + sought.length;
  }
  return [...parts, text.slice(at)];
}
