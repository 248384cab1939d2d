/** Draws the nodes of a site on a canvas, in the shapes of the key below it. */
import type { Sounding } from "../../live/watch";

/** Pixels from one node to the next, and around all of them. */
const CELL = 13;
const EDGE = 4;
const ROWS_MAX = 13;

/** Nodes above each other: a small site is about as high as it is wide. */
function rowsOf(nodes: number): number {
  return Math.min(ROWS_MAX, Math.max(1, Math.ceil(Math.sqrt(nodes))));
}

/** How wide the chart of this many nodes is, in pixels. */
export function widthOf(nodes: number): number {
  return Math.ceil(nodes / rowsOf(nodes)) * CELL + 2 * EDGE;
}

/** How high it is, in pixels. */
export function heightOf(nodes: number): number {
  return rowsOf(nodes) * CELL + 2 * EDGE;
}

/** Which node is at a point of the chart; -1 for none. */
export function indexAt(x: number, y: number, nodes: number): number {
  const [column, row] = [Math.floor((x - EDGE) / CELL), Math.floor((y - EDGE) / CELL)];
  return column < 0 || row < 0 || row >= rowsOf(nodes) ? -1 : column * rowsOf(nodes) + row;
}

/** Draw them, column by column. */
export function drawSite(canvas: HTMLCanvasElement, nodes: readonly Sounding[]): void {
  const pen = canvas.getContext("2d");
  if (pen === null) return;
  const colours = getComputedStyle(document.documentElement);
  const colour = (name: string) => colours.getPropertyValue(`--${name}`).trim();
  const scale = window.devicePixelRatio;
  const [width, height] = [widthOf(nodes.length), heightOf(nodes.length)];
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  pen.scale(scale, scale);
  const rows = rowsOf(nodes.length);
  nodes.forEach((node, at) => {
    pen.save();
    pen.translate(EDGE + (Math.floor(at / rows) + 0.5) * CELL, EDGE + ((at % rows) + 0.5) * CELL);
    mark(pen, node, colour);
    pen.restore();
  });
}

function mark(pen: CanvasRenderingContext2D, node: Sounding, colour: (name: string) => string): void {
  pen.beginPath();
  pen.lineWidth = 1;
  switch (node.mark) {
    case "working":
      pen.fillStyle = colour("deep");
      // Never so faint that it is taken for nothing.
      pen.globalAlpha = 0.45 + 0.55 * node.load;
      pen.arc(0, 0, 4.2, 0, 7);
      pen.fill();
      break;
    case "failing":
      pen.fillStyle = colour("bad");
      polygon(pen, [0, -5.4], [5.4, 0], [0, 5.4], [-5.4, 0]);
      break;
    case "flagged":
      pen.fillStyle = pen.strokeStyle = colour("verify");
      polygon(pen, [-3, 5], [-3, -5], [4.5, -2], [-3, 1]);
      pen.stroke();
      break;
    case "blocked":
      pen.strokeStyle = colour("bad");
      pen.lineWidth = 2;
      line(pen, [-4, -4], [4, 4]);
      line(pen, [-4, 4], [4, -4]);
      break;
    case "lost":
      pen.strokeStyle = colour("mute");
      pen.setLineDash([2, 1.5]);
      pen.ellipse(0, 0, 5, 3.8, 0, 0, 7);
      pen.stroke();
      pen.setLineDash([]);
      line(pen, [-2.5, 0], [2.5, 0]);
      line(pen, [0, -2], [0, 2]);
      break;
    case "draining":
      pen.fillStyle = pen.strokeStyle = colour("warn");
      pen.arc(0, 0, 3.8, 0, 7);
      pen.stroke();
      pen.beginPath();
      pen.arc(0, 0, 3.8, Math.PI / 2, -Math.PI / 2);
      pen.fill();
      break;
    default:
      pen.strokeStyle = colour("mute");
      pen.arc(0, 0, 3.5, 0, 7);
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
