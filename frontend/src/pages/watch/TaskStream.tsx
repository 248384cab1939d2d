/** What ran where over the last minute, as it happens; it can be stopped, looked through, enlarged, and read as a table. */
import { Link } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import type { Fleet } from "../../fleet/fleet";
import { useSlow } from "../../fleet/slow";
import { useKeys } from "../../keyboard/keys";
import { hearMarks } from "../../live/marks";
import { serverNow } from "../../live/pulse";
import { Panel } from "../../ui/Panel";
import { Loading } from "../../ui/Said";
import { count, many } from "../../ui/words";
import { useAllRunning } from "./queries";
import { useRecent } from "./recent";
import { SPAN_MIN_MS, SPAN_MS, type Still, StreamPicture } from "./StreamPicture";
import { Stream } from "./stream";
import styles from "./Watch.module.css";

const SUMMARY_MS = 10_000;

const StreamTable = lazy(() => import("./twins").then((twins) => ({ default: twins.StreamTable })));

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
      : `${many(seen.length, "task")} seen in the last 60 seconds, ${count(failed)} of them failed.`;
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
          <StreamPicture stream={stream} fleet={fleet} still={still} setStill={setStill} />
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
