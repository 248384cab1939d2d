/** What tasks did on which node over the last minutes, as numbers: filled by marks as they come, read by who draws. */
import type { Mark } from "../../live/marks";

const CAPACITY = 1 << 15;
/** Tasks of one node that are drawn above each other. */
const LANES_MAX = 4;
const STILL = Number.POSITIVE_INFINITY;
/** A list of what runs is older than a task that began this shortly before it came. */
const SLACK_MS = 3000;

export const COLOURS = 6;
/** How a stretch of work ended; its place in this list is its number. */
export const ENDS = ["running", "succeeded", "failed", "backoff", "inconclusive", "cancelled"] as const;
export type End = (typeof ENDS)[number];

/** A task that runs, as the list has it. */
export interface Running {
  id: string;
  name: string;
  nodeId: string | null;
  startedAt: string | null;
}

/** A task of before, as the list has it. */
interface Past extends Running {
  state: string;
  finishedAt: string | null;
}

/** A stretch of work of one task on one node. */
export interface Stretch {
  task: string;
  name: string;
  node: string;
  end: End;
  from: number;
  /** Infinite while it runs. */
  to: number;
}

export class Stream {
  /** By number, as they were first seen. */
  readonly nodes: string[] = [];
  readonly from = new Float64Array(CAPACITY);
  readonly to = new Float64Array(CAPACITY);
  readonly node = new Int32Array(CAPACITY);
  readonly lane = new Uint8Array(CAPACITY);
  readonly colour = new Uint8Array(CAPACITY);
  readonly end = new Uint8Array(CAPACITY);
  private readonly tasks = new Array<string>(CAPACITY).fill("");
  private readonly names = new Array<string>(CAPACITY).fill("");
  /** Stretches there ever were; the newest `CAPACITY` are kept, each at its number modulo that. */
  count = 0;
  private readonly numbers = new Map<string, number>();
  private readonly lanes: Float64Array[] = [];
  private readonly open = new Map<string, number>();
  private newestEnd = Number.NEGATIVE_INFINITY;
  /** When more last happened than was told of (by this page's clock). */
  sampledAt = Number.NEGATIVE_INFINITY;

  /** How many lanes of a node were ever needed. */
  lanesOf(node: number): number {
    const lanes = this.lanes[node]!;
    let used = 1;
    for (let lane = 1; lane < LANES_MAX; lane += 1) if (lanes[lane]! > 0) used = lane + 1;
    return used;
  }

  /** The place of the oldest stretch that is kept, counted from the first there ever was. */
  get oldest(): number {
    return Math.max(0, this.count - CAPACITY);
  }

  /** Whether nothing is known to have run since then: there is nothing that moves. */
  isStill(since: number): boolean {
    return this.open.size === 0 && this.newestEnd < since;
  }

  /** Marks came: a sample where more happened. Of a sample nobody knows when what began in it ends. */
  take(marks: readonly Mark[], happened: number): void {
    const isWhole = happened <= marks.length;
    if (!isWhole) {
      this.sampledAt = Date.now();
      this.forgetOpen();
    }
    for (const [task, name, state, node, since, at] of marks) {
      if (node === "") continue;
      if (state === "running") {
        if (isWhole && !this.open.has(task)) this.begin(task, name, node, since || at);
        continue;
      }
      const end = ENDS.indexOf(state as End);
      if (end <= 0 || since === 0) continue;
      const place = this.open.get(task) ?? this.add(task, name, node, since, at);
      this.open.delete(task);
      this.endAt(place, at, end);
    }
  }

  /** All that runs, as it was listed at `at`: what nobody told of begins, what is not listed has ended meanwhile. */
  settle(running: readonly Running[], at: number): void {
    const listed = new Set(running.map((one) => one.id));
    for (const [task, place] of this.open) {
      if (listed.has(task) || this.from[place]! > at - SLACK_MS) continue;
      this.endAt(place, at, 1);
      this.open.delete(task);
    }
    for (const one of running) {
      if (one.nodeId === null || one.startedAt === null || this.open.has(one.id)) continue;
      this.begin(one.id, one.name, one.nodeId, Date.parse(one.startedAt));
    }
  }

  /** What ended before anything was told; it is put in where it belongs in time. */
  recall(past: readonly Past[]): void {
    const seen = this.within(1, STILL, CAPACITY);
    const known = new Set(seen.map((one) => one.task));
    const missing = past.flatMap(({ id, name, state, nodeId, startedAt, finishedAt }): Stretch[] => {
      const end = ENDS.find((one) => one === state);
      if (known.has(id) || end === undefined || nodeId === null || startedAt === null || finishedAt === null) return [];
      return [{ task: id, name, node: nodeId, end, from: Date.parse(startedAt), to: Date.parse(finishedAt) }];
    });
    if (missing.length === 0) return;
    this.count = 0;
    this.to.fill(0);
    this.open.clear();
    for (const lanes of this.lanes) lanes.fill(0);
    for (const one of [...seen, ...missing].sort((first, second) => first.from - second.from)) {
      const place = this.add(one.task, one.name, one.node, one.from, one.to);
      this.end[place] = ENDS.indexOf(one.end);
      if (one.to === STILL) this.open.set(one.task, place);
    }
  }

  /** A stretch by its place. */
  stretch(place: number): Stretch {
    return {
      task: this.tasks[place]!,
      name: this.names[place]!,
      node: this.nodes[this.node[place]!]!,
      end: ENDS[this.end[place]!]!,
      from: this.from[place]!,
      to: this.to[place]!,
    };
  }

  /** The newest stretches within a time, newest first. */
  within(from: number, to: number, most: number): Stretch[] {
    const found: Stretch[] = [];
    for (let number = this.count - 1; number >= this.oldest && found.length < most; number -= 1) {
      const place = number % CAPACITY;
      if (this.to[place]! >= from && this.from[place]! <= to) found.push(this.stretch(place));
    }
    return found;
  }

  /** Call for each stretch within a time. */
  each(from: number, to: number, visit: (place: number) => void): void {
    for (let number = this.oldest; number < this.count; number += 1) {
      const place = number % CAPACITY;
      if (this.to[place]! >= from && this.from[place]! <= to) visit(place);
    }
  }

  private endAt(place: number, at: number, end: number): void {
    this.to[place] = at;
    this.end[place] = end;
    this.lanes[this.node[place]!]![this.lane[place]!] = at;
    this.newestEnd = Math.max(this.newestEnd, at);
  }

  private begin(task: string, name: string, node: string, from: number): void {
    this.open.set(task, this.add(task, name, node, from, STILL));
  }

  private add(task: string, name: string, node: string, from: number, to: number): number {
    const place = this.count % CAPACITY;
    if (this.to[place] === STILL) this.open.delete(this.tasks[place]!);
    this.count += 1;
    const number = this.know(node);
    const lanes = this.lanes[number]!;
    let lane = 0;
    while (lane < LANES_MAX - 1 && lanes[lane]! > from) lane += 1;
    lanes[lane] = to;
    if (to !== STILL) this.newestEnd = Math.max(this.newestEnd, to);
    this.from[place] = from;
    this.to[place] = to;
    this.node[place] = number;
    this.lane[place] = lane;
    this.colour[place] = colourOf(name);
    this.end[place] = 0;
    this.tasks[place] = task;
    this.names[place] = name;
    return place;
  }

  /** The number of a node, which it has from now on. */
  know(node: string): number {
    const known = this.numbers.get(node);
    if (known !== undefined) return known;
    this.numbers.set(node, this.nodes.length);
    this.lanes.push(new Float64Array(LANES_MAX));
    return this.nodes.push(node) - 1;
  }

  private forgetOpen(): void {
    for (const place of this.open.values()) {
      this.to[place] = 0;
      this.lanes[this.node[place]!]![this.lane[place]!] = this.from[place]!;
    }
    this.open.clear();
  }
}

/** Tasks that differ in a number only have the same colour. */
export function colourOf(name: string): number {
  let hash = 7;
  for (const letter of name.replace(/[\d\s#_-]+$/, "")) hash = (hash * 31 + letter.charCodeAt(0)) >>> 0;
  return hash % COLOURS;
}
