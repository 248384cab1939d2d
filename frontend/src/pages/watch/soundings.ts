/** Draws the nodes of a site on a canvas, in the shapes of the key below it. */
import type { Sounding } from "../../live/watch";

/** Pixels from one node to the next, and nodes above each other. */
export const CELL = 13;
const ROWS = 13;

/** How wide the chart of this many nodes is, in pixels. */
export function widthOf(nodes: number): number {
  return Math.max(1, Math.ceil(nodes / ROWS)) * CELL + 8;
}

/** How high every chart is, in pixels. */
export function heightOf(): number {
  return ROWS * CELL + 8;
}

/** Draw them, column by column. */
export function drawSite(canvas: HTMLCanvasElement, nodes: readonly Sounding[]): void {
  const pen = canvas.getContext("2d");
  if (pen === null) return;
  const colours = getComputedStyle(document.documentElement);
  const colour = (name: string) => colours.getPropertyValue(`--${name}`).trim();
  const scale = window.devicePixelRatio;
  const [width, height] = [widthOf(nodes.length), heightOf()];
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  pen.scale(scale, scale);
  nodes.forEach((node, at) => {
    pen.save();
    pen.translate(4 + Math.floor(at / ROWS) * CELL + CELL / 2, 4 + (at % ROWS) * CELL + CELL / 2);
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
