/** What the replicas of an app print, as it comes: all of them in one order, or those that are asked for. */
import { useEffect, useState } from "react";
import type { components } from "../../api/schema";
import { inert } from "../../live/inert";
import { LINES_MAX, type Line, type Output } from "../../live/lines";

type AppLine = components["schemas"]["AppLine"];

/** How long after it was refused the log is asked for again. */
const AGAIN_MS = 2000;
const NOTHING: Output = { lines: [], dropped: 0, ended: false, broken: false };

/** Gathers pieces into lines, each under the replica that printed it. */
export class AppGathering {
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
    return { lines: this.lines.slice(), dropped: this.dropped, ended, broken };
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

/** The log at this address, as it comes; read once per frame of the screen. */
export function useAppLog(url: string): Output {
  const [output, setOutput] = useState(NOTHING);
  useEffect(() => {
    setOutput(NOTHING);
    const gathering = new AppGathering();
    let source: EventSource | null = null;
    let frame = 0;
    let again = 0;
    let ended = false;
    let broken = false;
    const soon = () => {
      if (frame !== 0) return;
      frame = requestAnimationFrame(() => {
        frame = 0;
        setOutput(gathering.settle(ended, broken));
      });
    };
    const open = () => {
      const after = gathering.position === null ? "" : `&after=${gathering.position}`;
      const opened = new EventSource(`${url}${url.includes("?") ? "&" : "?"}follow=true${after}`);
      source = opened;
      opened.addEventListener("open", () => {
        broken = false;
        soon();
      });
      opened.addEventListener("error", () => {
        // A line that was cut is opened again by the browser; one that was refused is not.
        broken = true;
        soon();
        if (opened.readyState === EventSource.CLOSED) again = window.setTimeout(open, AGAIN_MS);
      });
      opened.addEventListener("output", (event) => {
        gathering.add(JSON.parse((event as MessageEvent<string>).data) as AppLine);
        soon();
      });
      opened.addEventListener("end", () => {
        ended = true;
        opened.close();
        soon();
      });
    };
    open();
    return () => {
      source?.close();
      window.clearTimeout(again);
      cancelAnimationFrame(frame);
    };
  }, [url]);
  return output;
}
