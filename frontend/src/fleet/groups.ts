/** Nodes in groups, and in one sentence. */
import { count, many } from "../ui/words";
import { type By, type Fleet, MARKS } from "./fleet";

/** Nodes that have something in common; `places` by their ids, so that a node keeps its place in the picture. */
export interface Group {
  name: string;
  places: readonly number[];
}

const UNNAMED: Record<By, string> = {
  site: "No site named",
  owner: "No owner named",
  runtime: "No runtime",
  version: "Version not known",
};

/** What a group is called. */
export function nameOf(group: Group, by: By): string {
  return group.name || UNNAMED[by];
}

/** The groups, the largest first. */
export function groupsOf(fleet: Fleet, by: By): Group[] {
  const groups = new Map<string, number[]>();
  for (let place = 0; place < fleet.size; place += 1) {
    const name = fleet.facts[place]![by];
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [place]);
    else group.push(place);
  }
  for (const places of groups.values()) places.sort((one, other) => (fleet.ids[one]! < fleet.ids[other]! ? -1 : 1));
  return [...groups]
    .map(([name, places]) => ({ name, places }))
    .sort((one, other) => other.places.length - one.places.length || (one.name < other.name ? -1 : 1));
}

/** "12 nodes: 8 working, 3 idle, 1 lost". */
export function summary(fleet: Fleet, places?: readonly number[]): string {
  const tally = fleet.tally(places);
  const size = places?.length ?? fleet.size;
  const parts = MARKS.filter((mark) => tally[mark] > 0).sort((one, other) => tally[other] - tally[one]);
  const all = many(size, "node");
  return size === 0 ? all : `${all}: ${parts.map((mark) => `${count(tally[mark])} ${mark}`).join(", ")}`;
}

/** "REX-03FA10 in Lisbon: working, 3 of 4 slots in use, CPU 34 %". */
export function wordsOf(fleet: Fleet, place: number): string {
  const site = fleet.facts[place]!.site;
  const mark = fleet.markOf(place);
  const also = mark !== "draining" && fleet.isDraining(place) ? ", draining" : "";
  const use =
    mark === "lost" ? "" : `, ${fleet.active[place]} of ${fleet.slots[place]} slots in use, CPU ${fleet.cpu[place]} %`;
  return `${fleet.ids[place]}${site && ` in ${site}`}: ${mark}${also}${use}`;
}
