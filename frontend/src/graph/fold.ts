/** Makes a graph small enough to be looked at: steps that stand alike become one box, and of a wide graph whole levels. */

/** A step and what it waits for, by name. */
export interface Linked {
  id: string;
  dependencies: readonly string[];
  softDependencies: readonly string[];
}

/** One box: a step, several that wait for the same and lead to the same, or all of some levels. */
export interface Box {
  kind: "step" | "alike" | "levels";
  /** The steps in it, by number. */
  members: number[];
  /** The levels they are on. */
  first: number;
  last: number;
}

/** A line from one box to another; a soft one only waits for the end. */
export interface Line {
  from: number;
  to: number;
  soft: boolean;
}

export interface Folded {
  boxes: Box[];
  lines: Line[];
  /** So many boxes there would be without levels taken together: a graph of more than `BOXES_MAX` opens as a table. */
  boxesInAll: number;
  /** Only lines between neighbouring levels are there, since all would be too many. */
  thinned: boolean;
}

/** How large a box is drawn. */
export const BOX = { width: 168, height: 52 };
/** More boxes than this are no picture any more. */
export const BOXES_MAX = 200;
/** More steps than this that stand alike are one box. */
export const ALIKE_MAX = 50;
const LINES_MAX = 2500;

interface Net {
  parents: number[][];
  soft: number[][];
  children: number[][];
  levels: number[];
}

/** For every step, by number: what it waits for, what waits for it, and how many steps lie on the longest way to it. */
export function netOf(steps: readonly Linked[]): Net {
  const number = new Map(steps.map((step, at) => [step.id, at]));
  const numbers = (names: readonly string[]) => names.flatMap((name) => number.get(name) ?? []);
  const parents = steps.map((step) => numbers(step.dependencies));
  const soft = steps.map((step) => numbers(step.softDependencies));
  const children: number[][] = steps.map(() => []);
  const waits = steps.map((_, at) => {
    for (const parent of [...parents[at]!, ...soft[at]!]) children[parent]!.push(at);
    return parents[at]!.length + soft[at]!.length;
  });
  const levels = steps.map(() => 0);
  const free = waits.flatMap((left, at) => (left === 0 ? [at] : []));
  for (const at of free) {
    for (const child of children[at]!) {
      levels[child] = Math.max(levels[child]!, levels[at]! + 1);
      waits[child]! -= 1;
      if (waits[child] === 0) free.push(child);
    }
  }
  return { parents, soft, children, levels };
}

/** The boxes of a graph and the lines between them. */
export function fold(steps: readonly Linked[]): Folded {
  const net = netOf(steps);
  const alike = alikeOf(net);
  const few = alike.length <= BOXES_MAX;
  const boxes = few ? alike : levelsOf(net.levels);
  const all = linesOf(net, boxes);
  const tooMany = all.length > LINES_MAX;
  const lines = tooMany ? all.filter((line) => boxes[line.to]!.first - boxes[line.from]!.last === 1) : all;
  return { boxes, lines, boxesInAll: alike.length, thinned: lines.length < all.length };
}

function alikeOf({ parents, soft, children, levels }: Net): Box[] {
  const groups = new Map<string, number[]>();
  const sign = (list: readonly number[]) => [...list].sort((one, other) => one - other).join();
  for (let at = 0; at < levels.length; at++) {
    const key = `${sign(parents[at]!)};${sign(soft[at]!)};${sign(children[at]!)}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [at]);
    else group.push(at);
  }
  const box = (kind: Box["kind"], members: number[]): Box => {
    const level = levels[members[0]!]!;
    return { kind, members, first: level, last: level };
  };
  return [...groups.values()].flatMap((group) =>
    group.length > ALIKE_MAX ? [box("alike", group)] : group.map((at) => box("step", [at])),
  );
}

function levelsOf(levels: readonly number[]): Box[] {
  let deepest = 0;
  for (const level of levels) deepest = Math.max(deepest, level);
  const width = Math.ceil((deepest + 1) / BOXES_MAX);
  const boxes = Array.from({ length: Math.ceil((deepest + 1) / width) }, (_, at): Box => {
    return { kind: "levels", members: [], first: at * width, last: Math.min((at + 1) * width - 1, deepest) };
  });
  levels.forEach((level, at) => {
    boxes[Math.floor(level / width)]!.members.push(at);
  });
  return boxes.map((box) => (box.members.length === 1 ? { ...box, kind: "step" } : box));
}

function linesOf({ parents, soft }: Net, boxes: readonly Box[]): Line[] {
  const boxOf: number[] = [];
  boxes.forEach((box, at) => {
    for (const member of box.members) boxOf[member] = at;
  });
  const lines = new Map<number, Line>();
  const note = (step: number, parent: number, isSoft: boolean) => {
    const [from, to] = [boxOf[parent]!, boxOf[step]!];
    if (from === to) return;
    const key = from * boxes.length + to;
    const line = lines.get(key);
    if (line === undefined) lines.set(key, { from, to, soft: isSoft });
    else line.soft &&= isSoft;
  };
  for (let at = 0; at < parents.length; at++) {
    for (const parent of parents[at]!) note(at, parent, false);
    for (const parent of soft[at]!) note(at, parent, true);
  }
  return [...lines.values()];
}
