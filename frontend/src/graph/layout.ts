/** Where the boxes of a graph stand: time goes to the right, and lines cross as little as may be. */
import { Graph, layout } from "@dagrejs/dagre";
import { BOX, BOXES_MAX, type Folded, fold, type Linked, netOf } from "./fold";

/** Above so many lines the places are good enough when found in a simpler way. */
const CAREFUL_LINES_MAX = 600;

/** A graph with the upper left corner of each box. */
export interface Drawing extends Folded {
  places: { x: number; y: number }[];
}

/** The drawing of a graph; with `whole` every step has a box of its own, however many there are. */
export function draw(steps: readonly Linked[], whole: boolean): Drawing {
  const folded = whole ? unfolded(steps) : fold(steps);
  const graph = new Graph();
  const careful = folded.lines.length <= CAREFUL_LINES_MAX;
  graph.setGraph({
    rankdir: "LR",
    nodesep: 20,
    ranksep: 64,
    marginx: 16,
    marginy: 16,
    ranker: careful ? "network-simplex" : "longest-path",
  });
  graph.setDefaultEdgeLabel(() => ({}));
  folded.boxes.forEach((_, at) => {
    graph.setNode(String(at), { ...BOX });
  });
  for (const line of folded.lines) graph.setEdge(String(line.from), String(line.to));
  layout(graph);
  const places = folded.boxes.map((_, at) => {
    const { x, y } = graph.node(String(at)) as { x: number; y: number };
    return { x: x - BOX.width / 2, y: y - BOX.height / 2 };
  });
  return { ...folded, places: upright(places) };
}

/** The other way up, where what was submitted first would stand at the bottom. */
function upright(places: { x: number; y: number }[]): { x: number; y: number }[] {
  const last = new Map<number, number>();
  let sense = 0;
  let highest = 0;
  let lowest = 0;
  for (const { x, y } of places) {
    const above = last.get(Math.round(x));
    if (above !== undefined) sense += Math.sign(y - above);
    last.set(Math.round(x), y);
    highest = Math.min(highest, y);
    lowest = Math.max(lowest, y);
  }
  return sense < 0 ? places.map(({ x, y }) => ({ x, y: highest + lowest - y })) : places;
}

function unfolded(steps: readonly Linked[]): Folded {
  const { parents, soft, levels } = netOf(steps);
  const lines = parents.flatMap((names, to) => [
    ...names.map((from) => ({ from, to, soft: false })),
    ...soft[to]!.map((from) => ({ from, to, soft: true })),
  ]);
  const boxes = levels.map((level, at) => ({ kind: "step" as const, members: [at], first: level, last: level }));
  return { boxes, lines, boxesInAll: Math.min(steps.length, BOXES_MAX), thinned: false };
}
