/** The nodes as the table has them: what the list says of each, with what the live link says of it now. */
import type { NodeView } from "../../api/client";
import { type By, type Fleet, MARKS, type Mark } from "../../fleet/fleet";
import { serverNow } from "../../live/pulse";
import { at, count, many } from "../../ui/words";

export interface Row {
  id: string;
  node: NodeView;
  mark: Mark;
  /** It gets no more work, and its mark says something graver. */
  alsoDrains: boolean;
  active: number;
  slots: number;
  cpu: number;
  group: Record<By, string>;
}

/** A row for every node of the list that the fleet knows. */
export function rowsOf(nodes: readonly NodeView[], fleet: Fleet): Row[] {
  return nodes.flatMap((node) => {
    const place = fleet.placeOf(node.nodeId);
    if (place < 0) return [];
    return [
      {
        id: node.nodeId,
        node,
        mark: fleet.markOf(place),
        alsoDrains: fleet.isDraining(place) && fleet.markOf(place) !== "draining",
        active: fleet.active[place]!,
        slots: fleet.slots[place]!,
        cpu: fleet.cpu[place]!,
        group: fleet.facts[place]!,
      },
    ];
  });
}

/** What of the address says which nodes are shown. */
export interface Wanted {
  find?: string | undefined;
  state?: string | undefined;
  by?: string | undefined;
  in?: string | undefined;
}

/** The rows that are wanted, by group and then by name. */
export function wantedOf(rows: readonly Row[], wanted: Wanted, by: By): Row[] {
  const words = (wanted.find ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  return rows
    .filter(
      (row) =>
        (wanted.state === undefined || row.mark === wanted.state) &&
        (wanted.in === undefined || row.group[by] === wanted.in) &&
        (words.length === 0 || has(row.node, words)),
    )
    .sort((one, other) => {
      const [a, b] = [one.group[by], other.group[by]];
      if (a !== b) return a < b ? -1 : 1;
      return one.id < other.id ? -1 : 1;
    });
}

function has(node: NodeView, words: readonly string[]): boolean {
  const { specs } = node;
  const text = [node.nodeId, node.owner, specs.host, specs.os, specs.cpu, specs.version]
    .concat(node.labels, Object.keys(specs.runtimes), specs.gpus)
    .join("\n")
    .toLowerCase();
  return words.every((word) => text.includes(word));
}

/** How many rows there are of each mark, those that there are none of left out. */
export function tallyOf(rows: readonly Row[]): [Mark, number][] {
  return MARKS.map((mark): [Mark, number] => [mark, rows.filter((row) => row.mark === mark).length]).filter(
    ([, many]) => many > 0,
  );
}

/** What groups there are, and how many nodes in each, the largest first. */
export function groupsIn(rows: readonly Row[], by: By): [string, number][] {
  const groups = new Map<string, number>();
  for (const row of rows) groups.set(row.group[by], (groups.get(row.group[by]) ?? 0) + 1);
  return [...groups].sort((one, other) => other[1] - one[1] || (one[0] < other[0] ? -1 : 1));
}

/** The speed in the middle of all that were measured; 0 where none was. */
export function middleSpeed(nodes: readonly NodeView[]): number {
  const speeds = nodes.map((node) => node.speed).filter((speed) => speed > 0);
  return speeds.sort((one, other) => one - other)[Math.floor(speeds.length / 2)] ?? 0;
}

/** What a node says it has: "16 cores, 62.7 GiB, 1 GPU". */
export function claimOf({ specs }: NodeView): string {
  const gpus = specs.gpus.length === 0 ? [] : [`${specs.gpus.length} GPU`];
  return [many(specs.cores, "core"), `${specs.ram.toFixed(1)} GiB`, ...gpus].join(", ");
}

/** How fast a node was found to be, and against the fleet: "412 k/s · 1.1×". */
export function speedOf(node: NodeView, middle: number): string {
  if (node.speed > 0) {
    const against = middle > 0 ? ` · ${(node.speed / middle).toFixed(1)}×` : "";
    return `${count(Math.round(node.speed))} k/s${against}`;
  }
  return node.measuredAt === null || node.measuredAt === undefined ? "not measured yet" : "claims untruly";
}

/** Answers of a node that were compared with those of others, over all runtimes. */
export function checkedOf(node: NodeView): { right: number; wrong: number } {
  const all = Object.values(node.standing ?? {});
  const sum = (pick: (one: (typeof all)[number]) => number) => Math.round(all.reduce((so, one) => so + pick(one), 0));
  return { right: sum((one) => one.right), wrong: sum((one) => one.wrong) };
}

/** When a node was heard: "now", or since when it was not. */
export function heardOf(node: NodeView, mark: Mark): string {
  if (node.seenAt === null) return "never called in";
  const isSilent = mark === "lost" || serverNow() - Date.parse(node.seenAt) > 120_000;
  return isSilent ? `not since ${at(node.seenAt).replace(/:\d\d$/, "")}` : "now";
}
