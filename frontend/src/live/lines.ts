/** What a task prints as lines, none of them lost or doubled where it is read on. */
import type { LogLine } from "../api/client";
import { inert, LINE_CHARACTERS_MAX } from "./inert";
import { type Line, NOTHING, type Output } from "./output";
import { useFollowing } from "./useFollowing";

/** Lines that are kept; earlier ones are in the raw log. */
export const LINES_MAX = 100_000;

/** Gathers pieces into lines. A piece may end within a line, which the next one of its stream and attempt goes on. */
export class Gathering {
  output: Output = NOTHING;
  private lines: Line[] = [];
  private count = 0;
  private dropped = 0;
  private last = { attempt: 0, seq: 0 };
  /** The newest line as it was printed, while it has no end: as much of it as is shown, and how long it is. */
  private open: { head: string; length: number } | null = null;

  /** The id of the newest piece; null before the first. */
  get position(): string | null {
    return this.last.seq === 0 ? null : `${this.last.attempt}.${this.last.seq}`;
  }

  /** Take a piece; one that was seen before (after a reconnect) changes nothing. */
  add(piece: LogLine): void {
    const [attempt = 0, seq = 0] = piece.id.split(".").map(Number);
    if (attempt < this.last.attempt || (attempt === this.last.attempt && seq <= this.last.seq)) return;
    this.last = { attempt, seq };
    if (piece.stream === "progress") return;
    const parts = piece.text.split("\n");
    const newest = this.lines.at(-1);
    if (this.open !== null && newest?.stream === piece.stream && newest.attempt === piece.attempt) {
      const more = parts.shift() ?? "";
      const { head, length } = this.open;
      this.open = { head: head + more.slice(0, LINE_CHARACTERS_MAX - head.length), length: length + more.length };
      this.lines[this.lines.length - 1] = { ...newest, text: inert(this.open.head, this.open.length) };
      if (parts.length === 0) return;
    }
    const rest = parts.at(-1) ?? "";
    this.open = rest === "" ? null : { head: rest.slice(0, LINE_CHARACTERS_MAX), length: rest.length };
    if (rest === "") parts.pop();
    for (const text of parts) {
      this.lines.push({ key: this.count++, at: piece.at, attempt, stream: piece.stream, text: inert(text) });
    }
    if (this.lines.length > LINES_MAX * 1.25) {
      const over = this.lines.length - LINES_MAX;
      this.lines.splice(0, over);
      this.dropped += over;
    }
  }

  /** What there is now, as a value that does not change. */
  settle(ended: boolean, broken = false): Output {
    this.output = { lines: this.lines.slice(), dropped: this.dropped, ended, broken };
    return this.output;
  }
}

const gather = () => new Gathering();

/** The output of a task, as it comes. */
export function useLines(id: string): Output {
  return useFollowing(`/api/tasks/${encodeURIComponent(id)}/logs`, gather);
}
