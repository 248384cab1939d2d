/** Follows what is printed, as it comes: server-sent events, told once per frame, opened again where they broke off. */
import type { Output } from "./output";

const AGAIN_MS = 2000;

/** What gathers pieces into lines: one that was seen before changes nothing. */
export interface Gatherer<Piece> {
  /** The id of the newest piece, after which it goes on; null before the first. */
  readonly position: string | number | null;
  readonly output: Output;
  add(piece: Piece): void;
  settle(ended: boolean, broken: boolean): void;
}

/** Reads the log at an address from its first line on. */
export class Following<Piece> {
  private readonly listeners = new Set<() => void>();
  private flush = 0;
  private again = 0;
  private ended = false;
  private broken = false;
  private source: EventSource | null = null;

  constructor(
    readonly url: string,
    private readonly gatherer: Gatherer<Piece>,
  ) {}

  /** Begin; until the function that is returned is called. */
  start(): () => void {
    this.open();
    return () => {
      this.source?.close();
      window.clearTimeout(this.again);
      cancelAnimationFrame(this.flush);
      this.flush = 0;
    };
  }

  private open(): void {
    const { position } = this.gatherer;
    const after = position === null ? "" : `&after=${position}`;
    const source = new EventSource(`${this.url}${this.url.includes("?") ? "&" : "?"}follow=true${after}`);
    this.source = source;
    source.addEventListener("open", () => {
      if (!this.broken) return;
      this.broken = false;
      this.soon();
    });
    source.addEventListener("output", (event) => {
      this.gatherer.add(JSON.parse((event as MessageEvent<string>).data) as Piece);
      this.soon();
    });
    source.addEventListener("end", () => {
      this.ended = true;
      source.close();
      this.soon();
    });
    source.addEventListener("error", () => {
      // A line that was cut is opened again by the browser; one that was refused is not.
      this.broken = true;
      this.soon();
      if (source.readyState === EventSource.CLOSED) this.again = window.setTimeout(() => this.open(), AGAIN_MS);
    });
  }

  private soon(): void {
    if (this.flush !== 0) return;
    this.flush = requestAnimationFrame(() => {
      this.flush = 0;
      this.gatherer.settle(this.ended, this.broken);
      for (const listener of this.listeners) listener();
    });
  }

  readonly subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly read = () => this.gatherer.output;
}
