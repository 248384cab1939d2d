/** Every node as numbers, changed in place as frames come: what draws it looks here, and React only now and then. */
import type { NodeView } from "../api/client";

/** What a node is, the gravest last; a mark's place in this list is its number. */
export const MARKS = ["idle", "working", "draining", "lost", "blocked", "failing", "flagged"] as const;
export type Mark = (typeof MARKS)[number];

/** id, status, active slots (null: not known here), slots, CPU in per cent, and whether it is failing or flagged. */
export type FleetNode = [string, string, number | null, number, number, "" | "failing" | "flagged"];

/** What seldom changes of a node; "" where nobody said. */
export interface Facts {
  site: string;
  owner: string;
  runtime: string;
  version: string;
  seenAt: string | null;
}

/** By what nodes are grouped. */
export type By = "site" | "owner" | "runtime" | "version";
export const GROUPINGS: readonly By[] = ["site", "owner", "runtime", "version"];

const NOTHING: Facts = { site: "", owner: "", runtime: "", version: "", seenAt: null };
const FIRST_ROOM = 64;
const LOST = MARKS.indexOf("lost");

export class Fleet {
  /** A node's place in all the lists, which it keeps. */
  readonly ids: string[] = [];
  readonly facts: Facts[] = [];
  marks = new Uint8Array(FIRST_ROOM);
  active = new Int16Array(FIRST_ROOM);
  slots = new Int16Array(FIRST_ROOM);
  cpu = new Uint8Array(FIRST_ROOM);
  private draining = new Uint8Array(FIRST_ROOM);
  /** Nodes of which nothing but the state is known yet. */
  unknown = 0;
  /** Nodes that were known and were then lost, ever: when one was last heard stands in the list alone. */
  losses = 0;
  /** Rises with every change. */
  version = 0;
  /** Rises when there are other nodes, or other facts of them: whoever groups them has to do it again. */
  shape = 0;
  private readonly places = new Map<string, number>();
  /** Facts of nodes that the live link has not named yet: the list may be here first. */
  private early = new Map<string, Facts>();

  get size(): number {
    return this.ids.length;
  }

  /** The place of a node; -1 where there is none. */
  placeOf(id: string): number {
    return this.places.get(id) ?? -1;
  }

  markOf(place: number): Mark {
    return MARKS[this.marks[place]!]!;
  }

  /** It gets no more work, whatever graver thing its mark says. */
  isDraining(place: number): boolean {
    return this.draining[place] === 1;
  }

  /** The share of its slots that is in use, from 0 to 1. */
  loadOf(place: number): number {
    const slots = this.slots[place]!;
    return slots > 0 ? Math.min(1, this.active[place]! / slots) : 0;
  }

  /** Nodes as they are now, from the live link. */
  apply(nodes: readonly FleetNode[]): void {
    for (const [id, status, active, slots, cpu, trouble] of nodes) {
      const known = this.places.get(id);
      const place = known ?? this.add(id);
      const mark = MARKS.indexOf(markOf(status, active ?? 0, trouble));
      if (known !== undefined && mark === LOST && this.marks[place] !== LOST) this.losses += 1;
      this.marks[place] = mark;
      this.active[place] = active ?? 0;
      this.slots[place] = slots;
      this.cpu[place] = cpu;
      this.draining[place] = status === "draining" ? 1 : 0;
    }
    this.version += 1;
  }

  /** Nodes as the list has them; their state, too, where nothing newer is heard. */
  learn(nodes: readonly NodeView[], isLive: boolean): void {
    if (!isLive) {
      this.apply(
        nodes.map(
          (node) => [node.nodeId, node.status, node.active, node.slots, node.metrics.cpuUsage, ""] as FleetNode,
        ),
      );
    }
    for (const node of nodes) {
      const place = this.places.get(node.nodeId);
      if (place !== undefined) this.facts[place] = factsOf(node);
    }
    this.early = new Map(
      nodes.flatMap((node) => (this.places.has(node.nodeId) ? [] : [[node.nodeId, factsOf(node)] as const])),
    );
    this.unknown = this.facts.filter((one) => one === NOTHING).length;
    this.shape += 1;
    this.version += 1;
  }

  /** How many nodes there are of each mark. */
  tally(places?: Iterable<number>): Record<Mark, number> {
    const counts = new Array<number>(MARKS.length).fill(0);
    for (const place of places ?? this.ids.keys()) counts[this.marks[place]!]! += 1;
    return Object.fromEntries(MARKS.map((mark, at) => [mark, counts[at]!])) as Record<Mark, number>;
  }

  private add(id: string): number {
    const place = this.ids.length;
    if (place === this.marks.length) {
      this.marks = grown(this.marks, new Uint8Array(2 * place));
      this.active = grown(this.active, new Int16Array(2 * place));
      this.slots = grown(this.slots, new Int16Array(2 * place));
      this.cpu = grown(this.cpu, new Uint8Array(2 * place));
      this.draining = grown(this.draining, new Uint8Array(2 * place));
    }
    this.ids.push(id);
    const facts = this.early.get(id) ?? NOTHING;
    this.facts.push(facts);
    this.places.set(id, place);
    if (facts === NOTHING) this.unknown += 1;
    this.shape += 1;
    return place;
  }
}

function grown<Numbers extends Uint8Array | Int16Array>(old: Numbers, next: Numbers): Numbers {
  next.set(old);
  return next;
}

function markOf(status: string, active: number, trouble: string): Mark {
  if (status === "quarantined") return "flagged";
  if (status === "blocked") return "blocked";
  if (status === "offline") return "lost";
  if (trouble === "failing" || trouble === "flagged") return trouble;
  if (status === "draining") return "draining";
  return active > 0 ? "working" : "idle";
}

function factsOf(node: NodeView): Facts {
  const site = node.labels.find((label) => label.startsWith("site:") || label.startsWith("site="));
  return {
    site: site?.slice(5) ?? "",
    owner: node.owner,
    runtime: Object.keys(node.specs.runtimes).sort().join(", "),
    version: node.specs.version,
    seenAt: node.seenAt,
  };
}
