/** What ran where over the last minute, as it happens; it can be stopped, looked through, enlarged, and read as a table. */
import { Link, useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import type { Fleet } from "../../fleet/fleet";
import { useSlow } from "../../fleet/slow";
import { hearMarks } from "../../live/marks";
import { serverNow } from "../../live/pulse";
import { useKeys } from "../../shell/keys";
import { chosenCalm } from "../../theme/density";
import { Panel } from "../../ui/Panel";
import { Loading } from "../../ui/Said";
import { lookOf } from "../../ui/states";
import { count, lasting } from "../../ui/words";
import { drawStream, heightOf, placeAt, rowsIn, streamColours, timeAt, type View } from "./drawStream";
import { useAllRunning } from "./queries";
import { useRecent } from "./recent";
import { Stream } from "./stream";
import styles from "./Watch.module.css";

const SPAN_MS = 60_000;
const SPAN_MIN_MS = 500;
const DRAW_MS = 50;
const CALM_MS = 1000;
const ROWS_MS = 2000;
const SUMMARY_MS = 10_000;
const ROOM_PX = 404;
const DRAG_PX = 5;

const StreamTable = lazy(() => import("./twins").then((twins) => ({ default: twins.StreamTable })));

/** What is looked at while the picture stands still: it ends at `to`. */
interface Still {
  to: number;
  span: number;
}

export function TaskStream({ fleet }: { fleet: Fleet }) {
  const [stream] = useState(() => new Stream());
  const [still, setStill] = useState<Still | null>(null);
  const [asTable, setAsTable] = useState(false);
  useEffect(() => hearMarks((marks, happened) => stream.take(marks, happened)), [stream]);
  const recent = useRecent().data;
  useEffect(() => {
    if (recent) stream.recall(recent);
  }, [stream, recent]);
  const running = useAllRunning().data;
  useEffect(() => {
    if (running) stream.settle(running.rows, running.at);
  }, [stream, running]);

  const pause = () => setStill(still === null ? { to: serverNow(), span: SPAN_MS } : null);
  const step = (share: number) =>
    setStill((old) => {
      const from = old ?? { to: serverNow(), span: SPAN_MS };
      return { ...from, to: Math.min(serverNow(), from.to + share * from.span) };
    });
  const zoom = (factor: number) =>
    setStill((old) => {
      const from = old ?? { to: serverNow(), span: SPAN_MS };
      return { ...from, span: Math.max(SPAN_MIN_MS, Math.min(SPAN_MS, from.span * factor)) };
    });
  useKeys([{ keys: "p", says: "stop the task stream, or let it go on", run: pause }]);
  const pressed = (event: React.KeyboardEvent) => {
    const acts = new Map<string, () => void>([
      [" ", pause],
      ["ArrowLeft", () => step(-0.1)],
      ["ArrowRight", () => step(0.1)],
      ["+", () => zoom(0.5)],
      ["-", () => zoom(2)],
      ["Escape", () => setStill(null)],
    ]);
    const act = acts.get(event.key);
    if (act === undefined || event.target !== event.currentTarget) return;
    event.preventDefault();
    act();
  };
  const newest = useRef(pause);
  newest.current = pause;
  useEffect(() => {
    // Where nothing has the focus, space is the stream's, too; anywhere else it has a meaning of its own.
    const anywhere = (event: KeyboardEvent) => {
      if (event.key !== " " || document.activeElement !== document.body || event.defaultPrevented) return;
      event.preventDefault();
      newest.current();
    };
    document.addEventListener("keydown", anywhere);
    return () => document.removeEventListener("keydown", anywhere);
  }, []);
  const words = () => {
    const now = serverNow();
    const seen = stream.within(now - SPAN_MS, now, 5000);
    const failed = seen.filter((one) => one.end === "failed").length;
    return seen.length === 0
      ? "Nothing has run in the last 60 seconds."
      : `${count(seen.length)} tasks seen in the last 60 seconds, ${count(failed)} of them failed.`;
  };
  const said = useSlow(words, SUMMARY_MS);
  const isEmpty = useSlow(() => stream.within(serverNow() - SPAN_MS, Number.POSITIVE_INFINITY, 1).length === 0, 1000);
  const isSample = useSlow(() => Date.now() - stream.sampledAt < SPAN_MS, 1000);
  return (
    <Panel
      title="Task stream"
      aside={
        <span className={styles.tools}>
          <span>
            <kbd>space</kbd>{" "}
            <button type="button" className="link" aria-pressed={still !== null} onClick={pause}>
              {still === null ? "pause" : "go on"}
            </button>
          </span>
          <span className={styles.wide}>
            <kbd>←</kbd>
            <kbd>→</kbd> step · drag to zoom
          </span>
          {still !== null && still.span < SPAN_MS && (
            <button type="button" className="link" onClick={() => setStill({ ...still, span: SPAN_MS })}>
              all 60 s
            </button>
          )}
          <button type="button" className="link" onClick={() => setAsTable(!asTable)}>
            {asTable ? "show as a picture" : "read as a table"}
          </button>
        </span>
      }
    >
      <p className="unseen" aria-live="polite">
        {said}
      </p>
      {asTable ? (
        <Suspense fallback={<Loading what="the table" />}>
          <StreamTable stream={stream} until={still?.to ?? null} />
        </Suspense>
      ) : (
        <div
          className={styles.stream}
          role="application"
          aria-label={`Tasks by node over the last 60 seconds. Space stops it, arrows step, plus and minus zoom. ${said}`}
          tabIndex={0}
          onKeyDown={pressed}
          data-paused={still !== null || undefined}
        >
          <Picture stream={stream} fleet={fleet} still={still} setStill={setStill} />
          {isEmpty && still === null && (
            <p className={styles.quiet}>
              <span>
                Nothing has run in the last 60 seconds. <Link to="/tasks/new">Run a task</Link>
              </span>
            </p>
          )}
        </div>
      )}
      {isSample && (
        <p className={`mute ${styles.note}`}>So much happens that a sample of it is drawn; all counts are exact.</p>
      )}
    </Panel>
  );
}

interface PictureProps {
  stream: Stream;
  fleet: Fleet;
  still: Still | null;
  setStill: (still: Still | null) => void;
}

function Picture({ stream, fleet, still, setStill }: PictureProps) {
  const navigate = useNavigate();
  const canvas = useRef<HTMLCanvasElement>(null);
  const shown = useRef<View>({ from: 0, to: 0, rows: [] });
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
        (stop === null && at - drawnAt >= (chosen || calm.matches ? CALM_MS : DRAW_MS));
      if (!isDue) return;
      drawn = stop;
      drawnAt = at;
      if (stop === null && at - rowsAt >= ROWS_MS) {
        rowsAt = at;
        shown.current = { ...shown.current, rows: rowsOf(stream, fleet, shown.current.rows, now) };
      }
      const to = stop?.to ?? now;
      shown.current = { ...shown.current, from: to - (stop?.span ?? SPAN_MS), to };
      const high = heightOf(shown.current.rows.length, ROOM_PX);
      if (width === 0 || high !== height) {
        [width, height] = [on.parentElement!.clientWidth, high];
        const scale = window.devicePixelRatio;
        on.width = Math.round(width * scale);
        on.height = Math.round(height * scale);
        on.style.height = `${height}px`;
        pen.setTransform(scale, 0, 0, scale, 0, 0);
      }
      drawStream(pen, { width, height, room: ROOM_PX }, stream, shown.current, now, colours);
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
    const size = { width: canvas.current!.clientWidth, room: ROOM_PX };
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

/** Which nodes have a row: all where there is room, else those that were shown and still work, then others that do. */
function rowsOf(stream: Stream, fleet: Fleet, shown: readonly number[], now: number): number[] {
  const most = rowsIn(ROOM_PX);
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
