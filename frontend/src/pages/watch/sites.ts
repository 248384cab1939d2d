/** The fleet by site, and in one sentence. */
import type { Sounding } from "../../live/watch";
import { count } from "../../ui/words";

/** Nodes by site, the largest first; within one by name, so that a node keeps its place. */
export function bySite(soundings: readonly Sounding[]): [string, Sounding[]][] {
  const sites = new Map<string, Sounding[]>();
  for (const one of soundings) {
    const site = sites.get(one.site);
    if (site === undefined) sites.set(one.site, [one]);
    else site.push(one);
  }
  for (const nodes of sites.values()) nodes.sort((one, other) => (one.id < other.id ? -1 : 1));
  return [...sites].sort((one, other) => other[1].length - one[1].length || (one[0] < other[0] ? -1 : 1));
}

/** "12 nodes: 8 working, 3 idle, 1 lost". */
export function summary(soundings: readonly Sounding[]): string {
  const counts = new Map<string, number>();
  for (const one of soundings) counts.set(one.mark, (counts.get(one.mark) ?? 0) + 1);
  const parts = [...counts].sort((one, other) => other[1] - one[1]).map(([mark, many]) => `${count(many)} ${mark}`);
  return `${count(soundings.length)} ${soundings.length === 1 ? "node" : "nodes"}: ${parts.join(", ")}`;
}
