/** Where the boxes of a graph stand: time goes to the right, and lines cross as little as may be. */
import { Graph, layout } from "@dagrejs/dagre";
import { BOX, BOXES_MAX, type Folded, fold, type Linked, netOf } from "./fold";

const GAP = { x: 64, y: 20 };
/** With more lines finding the best places takes seconds, and nobody could follow a line: columns will do. */
const CAREFUL_LINES_MAX = 600;

interface Place {
  x: number;
  y: number;
}

/** Where the boxes stand: the upper left corner of each. */
interface Stand {
  places: Place[];
  /** By line, where it passes the columns between its ends, so that it goes round the boxes that stand there. */
  ways: Place[][];
}

/** A graph, and where it is drawn. */
export interface Drawing extends Folded, Stand {}

/** The drawing of a graph; with `whole` every step has a box of its own, however many there are. */
export function draw(steps: readonly Linked[], whole: boolean): Drawing {
  const folded = whole ? unfolded(steps) : fold(steps);
  return { ...folded, ...(folded.lines.length > CAREFUL_LINES_MAX ? inColumns(folded) : withCare(folded)) };
}

function withCare(folded: Folded): Stand {
  const graph = new Graph();
  graph.setGraph({ rankdir: "LR", nodesep: GAP.y, edgesep: GAP.y, ranksep: GAP.x, marginx: 16, marginy: 16 });
  graph.setDefaultEdgeLabel(() => ({}));
  folded.boxes.forEach((_, at) => {
    graph.setNode(String(at), { ...BOX });
  });
  for (const line of folded.lines) graph.setEdge(String(line.from), String(line.to));
  layout(graph);
  const middles = folded.boxes.map((_, at) => graph.node(String(at)) as Place);
  const columns = new Set(middles.map(({ x }) => Math.round(x)));
  const ways = folded.lines.map((line) => {
    const { points } = graph.edge(String(line.from), String(line.to)) as { points: Place[] };
    const [begin, end] = [middles[line.from]!.x + BOX.width, middles[line.to]!.x - BOX.width];
    return points.filter(({ x }) => x > begin && x < end && columns.has(Math.round(x)));
  });
  return upright({ places: middles.map(({ x, y }) => ({ x: x - BOX.width / 2, y: y - BOX.height / 2 })), ways });
}

/** A column for each level, its boxes about as high as what they wait for. */
function inColumns({ boxes, lines }: Folded): Stand {
  const parents: number[][] = boxes.map(() => []);
  for (const line of lines) parents[line.to]!.push(line.from);
  const places: Place[] = boxes.map(() => ({ x: 0, y: 0 }));
  const levels = [...new Set(boxes.map((box) => box.first))].sort((one, other) => one - other);
  levels.forEach((level, column) => {
    const height = (at: number) =>
      parents[at]!.reduce((sum, parent) => sum + places[parent]!.y, 0) / Math.max(1, parents[at]!.length);
    const here = boxes.flatMap((box, at) => (box.first === level ? [{ at, height: height(at) }] : []));
    here.sort((one, other) => one.height - other.height || one.at - other.at);
    here.forEach(({ at }, row) => {
      places[at] = {
        x: column * (BOX.width + 2 * GAP.x),
        y: (row - (here.length - 1) / 2) * (BOX.height + GAP.y),
      };
    });
  });
  return { places, ways: lines.map(() => []) };
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

/** The other way up, where what was submitted first would stand at the bottom. */
function upright({ places, ways }: Stand): Stand {
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
  if (sense >= 0) return { places, ways };
  const middle = highest + lowest + BOX.height;
  return {
    places: places.map(({ x, y }) => ({ x, y: highest + lowest - y })),
    ways: ways.map((way) => way.map(({ x, y }) => ({ x, y: middle - y }))),
  };
}
