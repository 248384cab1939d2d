/** Draws the task stream: time to the right, a row for each node, and finds what is drawn at a point. */
import { ENDS, type Stream } from "./stream";

const LABELS_PX = 92;
const TOP_PX = 20;
const RIGHT_PX = 10;
const ROW_MIN_PX = 9;
const ROW_MAX_PX = 36;
/** A bar of a high row leaves air above and below it. */
const BAR_MAX_PX = 14;
const HEIGHT_MIN_PX = 110;
/** What a time above the picture needs, and the steps between two. */
const TIME_PX = 60;
const STEPS_MS = [100, 500, 1000, 2000, 5000, 10_000, 20_000, 30_000];
/** Nothing is so short that it is not seen. */
const WIDTH_MIN_PX = 1.5;

/** What is shown: server times, and which nodes, from the top. */
export interface View {
  from: number;
  to: number;
  rows: readonly number[];
}

interface StreamColours {
  sheet: string;
  hair: string;
  mute: string;
  bad: string;
  verify: string;
  warn: string;
  work: readonly string[];
  font: string;
}

const WORK = {
  day: ["#2a6f86", "#7a8f3a", "#c08a2e", "#6d7fa8", "#8a6a4f", "#4f8f7a"],
  night: ["#4d9bb5", "#93ab4e", "#d0a044", "#8599c7", "#b18d6d", "#62ab92"],
};

/** The colours of the theme that is shown. */
export function streamColours(): StreamColours {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    sheet: of("sheet"),
    hair: of("hair"),
    mute: of("mute"),
    bad: of("bad"),
    verify: of("verify"),
    warn: of("warn"),
    work: document.documentElement.dataset.theme === "night" ? WORK.night : WORK.day,
    font: of("mono"),
  };
}

/** How high a row is where there are so many, in so much room. */
export function rowHeight(rows: number, room: number): number {
  return Math.max(ROW_MIN_PX, Math.min(ROW_MAX_PX, Math.floor((room - TOP_PX) / Math.max(1, rows))));
}

/** How high a bar is in a row with so many beside each other, and how far below its top the first one begins. */
function barsIn(high: number, lanes: number): { bar: number; above: number } {
  const bar = Math.min(BAR_MAX_PX, (high - 2) / lanes);
  return { bar, above: (high - bar * lanes) / 2 };
}

/** How many rows there is room for. */
export function rowsIn(room: number): number {
  return Math.floor((room - TOP_PX) / ROW_MIN_PX);
}

/** How high the picture is. */
export function heightOf(rows: number, room: number): number {
  return Math.max(HEIGHT_MIN_PX, TOP_PX + rows * rowHeight(rows, room) + 2);
}

/** The time at a point. */
export function timeAt(x: number, width: number, view: View): number {
  const share = (x - LABELS_PX) / (width - LABELS_PX - RIGHT_PX);
  return view.from + Math.max(0, Math.min(1, share)) * (view.to - view.from);
}

/** Draw it all; `now` is the server's time, for what still runs. */
export function drawStream(
  pen: CanvasRenderingContext2D,
  size: { width: number; height: number; room: number },
  stream: Stream,
  view: View,
  now: number,
  colours: StreamColours,
): void {
  const { width, height } = size;
  const high = rowHeight(view.rows.length, size.room);
  pen.fillStyle = colours.sheet;
  pen.fillRect(0, 0, width, height);
  drawTimes(pen, width, height, view, now, colours);
  pen.font = `${high < 13 ? 10 : 11}px ${colours.font}`;
  pen.fillStyle = colours.mute;
  const every = high < 13 ? 2 : 1;
  const tops = new Float32Array(stream.nodes.length).fill(-1);
  const lanes = new Uint8Array(stream.nodes.length);
  view.rows.forEach((node, row) => {
    tops[node] = TOP_PX + row * high;
    lanes[node] = stream.lanesOf(node);
    if (row % every === 0) pen.fillText(stream.nodes[node]!.slice(0, 14), 4, TOP_PX + row * high + high / 2 + 3);
  });
  const scale = (width - LABELS_PX - RIGHT_PX) / (view.to - view.from);
  const seenTo = Math.min(view.to, now);
  stream.each(view.from, view.to, (place) => {
    const node = stream.node[place]!;
    if (tops[node]! < 0) return;
    const { bar, above } = barsIn(high, lanes[node]!);
    const y = tops[node]! + above + stream.lane[place]! * bar;
    const thick = Math.max(1.5, bar - (lanes[node]! > 1 ? 0.8 : 0));
    const x = LABELS_PX + (Math.max(view.from, stream.from[place]!) - view.from) * scale;
    const wide = Math.max(WIDTH_MIN_PX, LABELS_PX + (Math.min(seenTo, stream.to[place]!) - view.from) * scale - x);
    const end = ENDS[stream.end[place]!]!;
    pen.fillStyle = fillOf(end, stream.colour[place]!, colours);
    pen.fillRect(x, y, wide, thick);
    if (end === "failed" && wide > 5) {
      // Shape as well as colour: what failed has a notch before its end.
      pen.fillStyle = colours.sheet;
      pen.fillRect(x + wide - 3, y, 1.5, thick);
    }
  });
}

function fillOf(end: (typeof ENDS)[number], colour: number, colours: StreamColours): string {
  if (end === "failed") return colours.bad;
  if (end === "backoff") return colours.warn;
  if (end === "inconclusive") return colours.verify;
  return colours.work[colour]!;
}

function drawTimes(
  pen: CanvasRenderingContext2D,
  width: number,
  height: number,
  view: View,
  now: number,
  colours: StreamColours,
): void {
  const span = view.to - view.from;
  const most = Math.min(7, Math.floor((width - LABELS_PX) / TIME_PX));
  const step = STEPS_MS.find((one) => span / one <= most) ?? STEPS_MS.at(-1)!;
  pen.font = `11px ${colours.font}`;
  pen.strokeStyle = colours.hair;
  pen.fillStyle = colours.mute;
  pen.lineWidth = 1;
  // Marks stand at whole steps before now, so that they do not run with the work.
  const first = Math.ceil((now - view.to) / step);
  for (let back = first; now - back * step >= view.from; back += 1) {
    const x = Math.round(LABELS_PX + ((now - back * step - view.from) / span) * (width - LABELS_PX - RIGHT_PX)) + 0.5;
    pen.beginPath();
    pen.moveTo(x, TOP_PX - 3);
    pen.lineTo(x, height);
    pen.stroke();
    const says = back === 0 ? "now" : `−${(back * step) / 1000} s`;
    pen.fillText(says, Math.min(x - 10, width - pen.measureText(says).width - 2), 12);
  }
}

/** The place of the stretch at a point; -1 where there is none. */
export function placeAt(
  x: number,
  y: number,
  size: { width: number; room: number },
  stream: Stream,
  view: View,
  now: number,
): number {
  const high = rowHeight(view.rows.length, size.room);
  const row = Math.floor((y - TOP_PX) / high);
  const node = view.rows[row];
  if (node === undefined || x < LABELS_PX) return -1;
  const lanes = stream.lanesOf(node);
  const { bar, above } = barsIn(high, lanes);
  // The air of a row belongs to its bars.
  const lane = Math.max(0, Math.min(lanes - 1, Math.floor((y - TOP_PX - row * high - above) / bar)));
  const time = timeAt(x, size.width, view);
  const slack = ((view.to - view.from) / size.width) * 2;
  let found = -1;
  stream.each(time - slack, time + slack, (place) => {
    if (
      stream.node[place] === node &&
      stream.lane[place] === lane &&
      Math.min(now, stream.to[place]!) >= time - slack
    ) {
      found = place;
    }
  });
  return found;
}
