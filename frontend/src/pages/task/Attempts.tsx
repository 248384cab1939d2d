/** The attempts of a task on one line of time. */
import type { TaskView } from "../../api/client";
import { Hint } from "../../ui/Hint";
import { StateMark } from "../../ui/StateMark";
import { lookOf } from "../../ui/states";
import { useNow } from "../../ui/useNow";
import { at, count, lasting } from "../../ui/words";
import styles from "./Task.module.css";
import { Node } from "./WhereItRan";

type Attempt = TaskView["attempts"][number];

/** Begin and length of each attempt as shares of the whole time, from 0 to 1; the live one goes on until `now`. */
function spans(attempts: readonly Attempt[], now: number): { begin: number; length: number; ms: number }[] {
  const times = attempts.map((one) => ({
    from: Date.parse(one.leasedAt),
    to: one.endedAt === null || one.endedAt === undefined ? now : Date.parse(one.endedAt),
  }));
  const first = Math.min(...times.map((time) => time.from));
  const whole = Math.max(1, Math.max(...times.map((time) => time.to)) - first);
  return times.map(({ from, to }) => ({
    begin: (from - first) / whole,
    length: Math.max(0, to - from) / whole,
    ms: to - from,
  }));
}

export function Attempts({ attempts }: { attempts: readonly Attempt[] }) {
  const now = useNow(attempts.some((one) => one.outcome === null));
  if (attempts.length === 0) return <p>No node has it yet.</p>;
  const bars = spans(attempts, now);
  return (
    <ol className={styles.attempts}>
      {attempts.map((one, number) => (
        <li key={one.number} className={styles.attempt}>
          <span className="mono mute">{one.number}</span>
          <StateMark state={one.outcome ?? "running"} />
          <svg className={styles.bar} viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
            <rect
              x={bars[number]!.begin * 100}
              width={Math.max(0.6, bars[number]!.length * 100)}
              height="8"
              fill={`var(--${lookOf(one.outcome ?? "running").tone})`}
            />
          </svg>
          <span className="mono">{lasting(bars[number]!.ms)}</span>
          <p className="mute">
            {at(one.leasedAt)} on{" "}
            <span className="mono">
              <Node id={one.nodeId} />
            </span>
            {one.usage &&
              `, ${one.usage.cpuSeconds.toFixed(2)} s of CPU, ${memoryOf(one.usage.peakMemoryMb)} of memory`}
            {one.outputTruncated && ", and its output was cut at its limit"}
          </p>
          {one.reason && (
            <p>
              {one.reason.message}{" "}
              <span className="mute">
                <Hint says={one.reason.hint} />
              </span>
            </p>
          )}
        </li>
      ))}
    </ol>
  );
}

function memoryOf(megabytes: number): string {
  return megabytes < 1 ? "less than 1 MB" : `at most ${count(Math.round(megabytes))} MB`;
}
