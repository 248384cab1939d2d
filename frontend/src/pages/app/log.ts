/** What the replicas of an app print, as it comes: all of them in one order, or those that are asked for. */
import type { components } from "../../api/schema";
import { inert } from "../../live/inert";
import { LINES_MAX } from "../../live/lines";
import { type Line, NOTHING, type Output } from "../../live/output";
import { useFollowing } from "../../live/useFollowing";

type AppLine = components["schemas"]["AppLine"];

/** Gathers pieces into lines, each under the replica that printed it. */
export class AppGathering {
  output: Output = NOTHING;
  /** The id of the newest piece; null before the first. */
  position: number | null = null;
  private lines: Line[] = [];
  private count = 0;
  private dropped = 0;
  private readonly last = new Map<number, number>();

  /** Take a piece; one that was seen before (after a reconnect) changes nothing. */
  add(piece: AppLine): void {
    const place = Number(piece.id);
    if (place <= (this.last.get(piece.generation) ?? -1)) return;
    this.last.set(piece.generation, place);
    if (this.position === null || place > this.position) this.position = place;
    const { at, stream } = piece;
    const who = `${piece.process}.${piece.index}`;
    for (const text of piece.text.replace(/\n$/, "").split("\n")) {
      this.lines.push({ key: this.count++, at, attempt: 1, stream, text: `${who} │ ${inert(text)}` });
    }
    if (this.lines.length > LINES_MAX * 1.25) {
      const over = this.lines.length - LINES_MAX;
      this.lines.splice(0, over);
      this.dropped += over;
    }
  }

  /** What there is now, as a value that does not change. */
  settle(ended: boolean, broken: boolean): Output {
    this.output = { lines: this.lines.slice(), dropped: this.dropped, ended, broken };
    return this.output;
  }
}

/** Where the log is, of one process or one generation only where these are given. */
export function logUrl(id: string, process?: string, generation?: string): string {
  const query = new URLSearchParams();
  if (process !== undefined) query.set("process", process);
  if (generation !== undefined) query.set("generation", generation);
  const asked = query.toString();
  return `/api/clusters/${encodeURIComponent(id)}/logs${asked === "" ? "" : `?${asked}`}`;
}

const gather = () => new AppGathering();

/** The log at this address, as it comes. */
export function useAppLog(url: string): Output {
  return useFollowing(url, gather);
}
