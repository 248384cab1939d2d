/** What a task prints, as it comes: server-sent events, read once per frame, never lost or doubled on a reconnect. */
import { useEffect, useState, useSyncExternalStore } from "react";
import type { LogLine } from "../api/client";
import { inert } from "./inert";

/** Lines that are kept; earlier ones are in the raw log. */
export const LINES_MAX = 20_000;

/** A line that is shown: `key` counts from the first line of the task on. */
export interface Line {
  key: number;
  at: string;
  attempt: number;
  stream: string;
  text: string;
}

/** `dropped` lines were forgotten at the front; `ended`: nothing more will come. */
export interface Output {
  lines: readonly Line[];
  dropped: number;
  ended: boolean;
}

const NOTHING: Output = { lines: [], dropped: 0, ended: false };

/** Gathers pieces into lines. A piece may end within a line, which the next one of its stream and attempt goes on. */
export class Gathering {
  output: Output = NOTHING;
  private lines: Line[] = [];
  private count = 0;
  private dropped = 0;
  private last = { attempt: 0, seq: 0 };
  /** The newest line as it was printed, while it has no end. */
  private open: string | null = null;

  /** Take a piece; one that was seen before (after a reconnect) changes nothing. */
  add(piece: LogLine): void {
    const [attempt = 0, seq = 0] = piece.id.split(".").map(Number);
    if (attempt < this.last.attempt || (attempt === this.last.attempt && seq <= this.last.seq)) return;
    this.last = { attempt, seq };
    if (piece.stream === "progress") return;
    const parts = piece.text.split("\n");
    const newest = this.lines.at(-1);
    if (this.open !== null && newest?.stream === piece.stream && newest.attempt === piece.attempt) {
      this.open += parts.shift() ?? "";
      this.lines[this.lines.length - 1] = { ...newest, text: inert(this.open) };
      if (parts.length === 0) return;
    }
    const rest = parts.at(-1) ?? "";
    this.open = rest === "" ? null : rest;
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
  settle(ended: boolean): Output {
    this.output = { lines: this.lines.slice(), dropped: this.dropped, ended };
    return this.output;
  }
}

/** Follows the output of one task from its first line on. */
class Following {
  private readonly gathering = new Gathering();
  private readonly listeners = new Set<() => void>();
  private flush = 0;
  private ended = false;

  constructor(private readonly id: string) {}

  start(): () => void {
    const source = new EventSource(`/api/tasks/${encodeURIComponent(this.id)}/logs?follow=true`);
    source.addEventListener("output", (event) => {
      this.gathering.add(JSON.parse((event as MessageEvent<string>).data) as LogLine);
      this.soon();
    });
    source.addEventListener("end", () => {
      this.ended = true;
      source.close();
      this.soon();
    });
    return () => {
      source.close();
      cancelAnimationFrame(this.flush);
      this.flush = 0;
    };
  }

  private soon(): void {
    if (this.flush !== 0) return;
    this.flush = requestAnimationFrame(() => {
      this.flush = 0;
      this.gathering.settle(this.ended);
      for (const listener of this.listeners) listener();
    });
  }

  readonly subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly read = () => this.gathering.output;
}

/** The output of a task, as it comes. */
export function useLines(id: string): Output {
  const [following, setFollowing] = useState(() => new Following(id));
  useEffect(() => {
    const next = new Following(id);
    setFollowing(next);
    return next.start();
  }, [id]);
  return useSyncExternalStore(following.subscribe, following.read);
}
