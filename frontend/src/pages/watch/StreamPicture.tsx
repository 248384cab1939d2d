/** The task stream as a picture: it is drawn as time goes by, tells of what is under the pointer, and is zoomed by dragging. */
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import type { Fleet } from "../../fleet/fleet";
import { serverNow } from "../../live/pulse";
import { chosenCalm } from "../../theme/density";
import { lookOf } from "../../ui/states";
import { lasting } from "../../ui/words";
import { drawStream, heightOf, placeAt, rowsIn, streamColours, timeAt, type View } from "./drawStream";
import type { Stream } from "./stream";
import styles from "./Watch.module.css";

export const SPAN_MS = 60_000;
export const SPAN_MIN_MS = 500;
const DRAW_MS = 50;
const CALM_MS = 1000;
const ROWS_MS = 2000;
const ROOM_MIN_PX = 300;
const ROOM_MAX_PX = 620;
/** Below the picture. */
const FOOT_PX = 18;
const DRAG_PX = 5;

/** What is looked at while the picture stands still: it ends at `to`. */
export interface Still {
  to: number;
  span: number;
}

interface PictureProps {
  stream: Stream;
  fleet: Fleet;
  still: Still | null;
  setStill: (still: Still | null) => void;
}

export function StreamPicture({ stream, fleet, still, setStill }: PictureProps) {
  const navigate = useNavigate();
  const canvas = useRef<HTMLCanvasElement>(null);
  const shown = useRef<View>({ from: 0, to: 0, rows: [] });
  const room = useRef(ROOM_MIN_PX);
  const stopped = useRef(still);
  stopped.current = still;
  const [told, setTold] = useState<{ x: number; y: number; words: string } | null>(null);
  const [stretch, setStretch] = useState<{ left: number; width: number } | null>(null);
  const begun = useRef<number | null>(null);

  useEffect(() => {
    const on = canvas.current;
    const pen = on?.getContext("2d") ?? null;
    if (on === null || pen === null) return;
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    const chosen = chosenCalm();
    let colours = streamColours();
    let [frame, drawnAt, rowsAt, width, height] = [0, 0, Number.NEGATIVE_INFINITY, 0, 0];
    let drawn: Still | null | undefined;
    const recolour = () => {
      colours = streamColours();
      drawn = undefined;
    };
    const resized = new ResizeObserver(() => {
      width = 0;
    });
    resized.observe(on.parentElement!);
    const draw = (at: number) => {
      frame = requestAnimationFrame(draw);
      const now = serverNow();
      const stop = stopped.current;
      const isDue =
        width === 0 ||
        stop !== drawn ||
        (stop === null &&
          at - drawnAt >= (chosen || calm.matches || stream.isStill(now - SPAN_MS) ? CALM_MS : DRAW_MS));
      if (!isDue) return;
      drawn = stop;
      drawnAt = at;
      // Until there are rows they are looked for each time, so that the picture has its height at once.
      if (stop === null && (shown.current.rows.length === 0 || at - rowsAt >= ROWS_MS)) {
        rowsAt = at;
        room.current = roomBelow(on);
        shown.current = { ...shown.current, rows: rowsOf(stream, fleet, shown.current.rows, now, room.current) };
      }
      const to = stop?.to ?? now;
      shown.current = { ...shown.current, from: to - (stop?.span ?? SPAN_MS), to };
      const high = heightOf(shown.current.rows.length, room.current);
      if (width === 0 || high !== height) {
        [width, height] = [on.parentElement!.clientWidth, high];
        const scale = window.devicePixelRatio;
        on.width = Math.round(width * scale);
        on.height = Math.round(height * scale);
        on.style.height = `${height}px`;
        pen.setTransform(scale, 0, 0, scale, 0, 0);
      }
      drawStream(pen, { width, height, room: room.current }, stream, shown.current, now, colours);
    };
    frame = requestAnimationFrame(draw);
    window.addEventListener("anchor:theme", recolour);
    return () => {
      cancelAnimationFrame(frame);
      resized.disconnect();
      window.removeEventListener("anchor:theme", recolour);
    };
  }, [stream, fleet]);

  const placeOf = (event: React.MouseEvent) => {
    const { offsetX, offsetY } = event.nativeEvent;
    const size = { width: canvas.current!.clientWidth, room: room.current };
    return placeAt(offsetX, offsetY, size, stream, shown.current, serverNow());
  };
  const moved = (event: React.PointerEvent) => {
    const x = event.nativeEvent.offsetX;
    if (begun.current !== null && event.buttons !== 0) {
      if (stretch === null && Math.abs(x - begun.current) < DRAG_PX) return;
      canvas.current?.setPointerCapture(event.pointerId);
      setTold(null);
      setStretch({ left: Math.min(x, begun.current), width: Math.abs(x - begun.current) });
      return;
    }
    const place = placeOf(event);
    if (place < 0) {
      setTold(null);
      return;
    }
    const one = stream.stretch(place);
    const took = lasting(Math.min(serverNow(), one.to) - one.from);
    const words = `${one.name || one.task} on ${one.node}: ${lookOf(one.end).word}, ${took}`;
    setTold({ x: Math.min(x + 12, canvas.current!.clientWidth - 240), y: event.nativeEvent.offsetY + 14, words });
  };
  const released = (event: React.PointerEvent) => {
    const width = canvas.current!.clientWidth;
    begun.current = null;
    if (stretch !== null) {
      const to = timeAt(stretch.left + stretch.width, width, shown.current);
      setStill({ to, span: Math.max(SPAN_MIN_MS, to - timeAt(stretch.left, width, shown.current)) });
      setStretch(null);
      return;
    }
    const place = placeOf(event);
    if (place >= 0) void navigate({ to: "/tasks/$id", params: { id: stream.stretch(place).task } });
  };
  return (
    <>
      <canvas
        ref={canvas}
        role="img"
        aria-label="Tasks by node"
        onPointerDown={(event) => {
          if (event.pointerType !== "touch" && event.button === 0) begun.current = event.nativeEvent.offsetX;
        }}
        onPointerMove={moved}
        onPointerUp={released}
        onPointerLeave={() => setTold(null)}
      />
      {told !== null && (
        <div className={styles.told} style={{ left: told.x, top: told.y }}>
          <bdi>{told.words}</bdi>
        </div>
      )}
      {stretch !== null && <div className={styles.stretch} style={stretch} />}
    </>
  );
}

/** What of the window is left for the picture, where the page is not scrolled. */
function roomBelow(canvas: HTMLElement): number {
  const main = canvas.closest("main");
  if (main === null) return ROOM_MIN_PX;
  const top = canvas.getBoundingClientRect().top - main.getBoundingClientRect().top + main.scrollTop;
  return Math.max(ROOM_MIN_PX, Math.min(ROOM_MAX_PX, Math.floor(main.clientHeight - top) - FOOT_PX));
}

/** Which nodes have a row: all where there is room, else those that were shown and still work, then others that do. */
function rowsOf(stream: Stream, fleet: Fleet, shown: readonly number[], now: number, room: number): number[] {
  const most = rowsIn(room);
  const working = new Set<number>();
  stream.each(now - SPAN_MS, Number.POSITIVE_INFINITY, (place) => working.add(stream.node[place]!));
  const rows = new Set(shown.filter((node) => working.has(node)));
  for (const node of working) if (rows.size < most) rows.add(node);
  const named = new Set([...rows].map((node) => stream.nodes[node]!));
  if (fleet.size <= most) {
    for (const id of fleet.ids) if (named.size < most && !named.has(id)) rows.add(stream.know(id));
  }
  return [...rows].sort((one, other) => (stream.nodes[one]! < stream.nodes[other]! ? -1 : 1));
}
