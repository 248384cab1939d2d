/** Draws the nodes of a group on a canvas, in the shapes of the key below it; only what changed is drawn again. */
import type { Fleet, Mark } from "./fleet";

const EDGE = 4;
const ROWS_MAX = 13;
const LEVELS = 8;
/** As large as a mark gets, and as small where all groups are to be side by side. */
const CELL_MAX = 18;
const CELL_MIN = 8.5;
/** The size of marks that do not fit side by side anyway. */
const CELL_WRAPPED = 10;
/** So few nodes have their ids beside them, which need this much. */
const NAMED_MAX = 24;
const NAME_PX = 84;
const CELL_NAMED = 15;
const LINE_NAMED = 22;
/** Between two groups, in pixels. */
export const GAP = 14;

/** How large the mark of a node is, how many are above each other, and what room there is for an id beside it: the
 * same for all groups of a fleet. */
interface Grain {
  cell: number;
  line: number;
  rows: number;
  label: number;
}

/** The fewer nodes there are the larger; very many are put a little closer where all groups fit side by side then. */
export function grainOf(sizes: readonly number[], room: number): Grain {
  const all = sizes.reduce((sum, size) => sum + size, 0);
  const rows = Math.min(ROWS_MAX, Math.max(1, Math.ceil(Math.sqrt(Math.max(...sizes, 1)))));
  if (all <= NAMED_MAX) return { cell: CELL_NAMED, line: LINE_NAMED, rows, label: NAME_PX };
  const columns = sizes.reduce((sum, size) => sum + Math.ceil(size / rows), 0);
  const fitting = (room - sizes.length * (2 * EDGE + GAP)) / columns;
  const cell = fitting >= CELL_MIN ? Math.min(CELL_MAX, fitting) : CELL_WRAPPED;
  return { cell, line: Math.max(12, cell), rows, label: 0 };
}

/** Where the nodes of a group are: column by column. */
export class Layout {
  readonly rows: number;
  readonly cell: number;
  readonly line: number;
  /** From one column to the next. */
  readonly pitch: number;
  readonly width: number;
  readonly height: number;

  /** So many nodes, no wider than `room` pixels. */
  constructor(
    readonly nodes: number,
    grain: Grain,
    room: number,
  ) {
    this.cell = grain.cell;
    this.line = grain.line;
    this.pitch = grain.cell + grain.label;
    const columnsMax = Math.max(1, Math.floor((room - 2 * EDGE) / this.pitch));
    this.rows = Math.max(grain.rows, Math.ceil(nodes / columnsMax));
    this.width = Math.ceil(Math.ceil(nodes / this.rows) * this.pitch) + 2 * EDGE;
    this.height = this.rows * this.line + 2 * EDGE;
  }

  /** Ids stand beside the marks. */
  get isNamed(): boolean {
    return this.pitch > this.cell;
  }

  /** The middle of a node's mark, in pixels. */
  centre(index: number): [number, number] {
    const column = Math.floor(index / this.rows);
    return [EDGE + column * this.pitch + this.cell / 2, EDGE + ((index % this.rows) + 0.5) * this.line];
  }

  /** Which node is at a point; -1 for none. */
  at(x: number, y: number): number {
    const [column, row] = [Math.floor((x - EDGE) / this.pitch), Math.floor((y - EDGE) / this.line)];
    const index = column * this.rows + row;
    return column < 0 || row < 0 || row >= this.rows || index >= this.nodes ? -1 : index;
  }

  /** Which nodes have their middle within a stretch of the chart. */
  within(left: number, top: number, right: number, bottom: number): number[] {
    const found: number[] = [];
    for (let index = 0; index < this.nodes; index += 1) {
      const [x, y] = this.centre(index);
      if (x >= left && x <= right && y >= top && y <= bottom) found.push(index);
    }
    return found;
  }
}

/** The colours of the theme that is shown. */
interface Palette {
  deep: string;
  bad: string;
  warn: string;
  verify: string;
  mute: string;
  ink: string;
  busy: readonly string[];
  font: string;
}

/** The colours as the page has them now. */
export function palette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const isNight = document.documentElement.dataset.theme === "night";
  const [light, dark] = isNight ? [80, 40] : [60, 22];
  return {
    deep: colour("deep"),
    bad: colour("bad"),
    warn: colour("warn"),
    verify: colour("verify"),
    mute: colour("mute"),
    ink: colour("ink"),
    font: colour("mono"),
    busy: Array.from({ length: LEVELS }, (_, at) => `hsl(195 52% ${light - ((light - dark) * at) / (LEVELS - 1)}%)`),
  };
}

/** A group's chart: it remembers what it has drawn. */
export class Chart {
  private readonly drawn: Int16Array;
  private readonly pen: CanvasRenderingContext2D | null;

  constructor(
    canvas: HTMLCanvasElement,
    private readonly layout: Layout,
    private readonly places: readonly number[],
    private readonly colours: Palette,
  ) {
    const scale = window.devicePixelRatio;
    canvas.width = Math.round(layout.width * scale);
    canvas.height = Math.round(layout.height * scale);
    canvas.style.width = `${layout.width}px`;
    canvas.style.height = `${layout.height}px`;
    this.pen = canvas.getContext("2d");
    this.pen?.scale(scale, scale);
    this.drawn = new Int16Array(places.length).fill(-1);
  }

  /** Draw what is not as it was drawn; `chosen` nodes have a frame. */
  draw(fleet: Fleet, chosen: ReadonlySet<string>): void {
    const { pen, layout, drawn } = this;
    if (pen === null) return;
    for (let index = 0; index < this.places.length; index += 1) {
      const place = this.places[index]!;
      const level = Math.round(fleet.loadOf(place) * (LEVELS - 1));
      const isChosen = chosen.size > 0 && chosen.has(fleet.ids[place]!);
      const look = (fleet.marks[place]! * LEVELS + level) * 2 + (isChosen ? 1 : 0);
      if (look === drawn[index]) continue;
      drawn[index] = look;
      const [x, y] = layout.centre(index);
      pen.clearRect(x - layout.cell / 2, y - layout.line / 2, layout.pitch, layout.line);
      if (layout.isNamed) name(pen, fleet.ids[place]!, x + layout.cell / 2 + 4, y, this.colours);
      pen.save();
      pen.translate(x, y);
      if (isChosen) frame(pen, layout, this.colours);
      pen.scale(layout.cell / 11, layout.cell / 11);
      mark(pen, fleet.markOf(place), level, this.colours);
      pen.restore();
    }
  }
}

function frame(pen: CanvasRenderingContext2D, layout: Layout, colours: Palette): void {
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 1;
  pen.strokeRect(1 - layout.cell / 2, 1 - layout.line / 2, layout.pitch - 2, layout.line - 2);
}

function name(pen: CanvasRenderingContext2D, id: string, x: number, y: number, colours: Palette): void {
  pen.font = `11px ${colours.font}`;
  pen.fillStyle = colours.ink;
  pen.fillText(id, x, y + 4);
}

function mark(pen: CanvasRenderingContext2D, kind: Mark, level: number, colours: Palette): void {
  pen.beginPath();
  pen.lineWidth = 1;
  switch (kind) {
    case "working":
      pen.fillStyle = colours.busy[level]!;
      pen.arc(0, 0, 4.1, 0, 7);
      pen.fill();
      break;
    case "failing":
      pen.fillStyle = colours.bad;
      polygon(pen, [0, -5.2], [5.2, 0], [0, 5.2], [-5.2, 0]);
      break;
    case "flagged":
      pen.fillStyle = pen.strokeStyle = colours.verify;
      polygon(pen, [-2.8, 4.8], [-2.8, -4.8], [4.4, -2], [-2.8, 1]);
      pen.stroke();
      break;
    case "blocked":
      pen.strokeStyle = colours.bad;
      pen.lineWidth = 1.8;
      line(pen, [-3.5, -3.5], [3.5, 3.5]);
      line(pen, [-3.5, 3.5], [3.5, -3.5]);
      break;
    case "lost":
      pen.strokeStyle = colours.mute;
      pen.setLineDash([2, 1.5]);
      pen.ellipse(0, 0, 4.7, 3.6, 0, 0, 7);
      pen.stroke();
      pen.setLineDash([]);
      line(pen, [-2.5, 0], [2.5, 0]);
      line(pen, [0, -2], [0, 2]);
      break;
    case "draining":
      pen.fillStyle = pen.strokeStyle = colours.warn;
      pen.arc(0, 0, 3.7, 0, 7);
      pen.stroke();
      pen.beginPath();
      pen.arc(0, 0, 3.7, Math.PI / 2, -Math.PI / 2);
      pen.fill();
      break;
    default:
      pen.strokeStyle = colours.mute;
      pen.arc(0, 0, 3.3, 0, 7);
      pen.stroke();
  }
}

type Point = [number, number];

function polygon(pen: CanvasRenderingContext2D, ...points: Point[]): void {
  for (const point of points) pen.lineTo(...point);
  pen.closePath();
  pen.fill();
}

function line(pen: CanvasRenderingContext2D, from: Point, to: Point): void {
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
}
