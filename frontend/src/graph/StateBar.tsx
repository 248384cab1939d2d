/** How many of many are in each state, as one bar; the words for it stand beside, or are read instead. */
import { lookOf } from "../ui/states";
import { count } from "../ui/words";
import styles from "./Graph.module.css";

/** What is over comes first, so that the bar fills from the left. */
const ORDER = [
  "succeeded",
  "reused",
  "failed",
  "inconclusive",
  "cancelled",
  "skipped",
  "removed",
  "verifying",
  "running",
  "leased",
  "backoff",
  "cancelling",
  "queued",
  "waiting",
];
const OVER = new Set(["succeeded", "reused", "failed", "inconclusive", "cancelled", "skipped", "removed"]);

export type Counts = Readonly<Record<string, number>>;

/** How many there are, and how many of them are over. */
export function doneOf(counts: Counts): { done: number; all: number } {
  let done = 0;
  let all = 0;
  for (const [state, many] of Object.entries(counts)) {
    all += many;
    if (OVER.has(state)) done += many;
  }
  return { done, all };
}

/** A step that waits is not waiting for parts of its own, as a task may, and one that has a task for a node. */
export function wordOf(state: string): string {
  if (state === "queued") return "waiting for a node";
  return state === "waiting" ? "waiting" : lookOf(state).word;
}

/** States with how many are in each, in the order of the bar. */
export function inOrder(counts: Counts): [string, number][] {
  const place = (state: string) => (ORDER.includes(state) ? ORDER.indexOf(state) : ORDER.length);
  return Object.entries(counts)
    .filter(([, many]) => many > 0)
    .sort(([one], [other]) => place(one) - place(other));
}

/** The counts in words: "3 done, 1 failed". */
export function inWords(counts: Counts): string {
  return inOrder(counts)
    .map(([state, many]) => `${count(many)} ${wordOf(state)}`)
    .join(", ");
}

export function StateBar({ counts }: { counts: Counts }) {
  const { all } = doneOf(counts);
  let x = 0;
  return (
    <svg className={styles.bar} viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
      <rect className={styles.barGround} width="100" height="6" />
      {inOrder(counts).map(([state, many]) => {
        const width = (100 * many) / Math.max(1, all);
        const from = x;
        x += width;
        const rest = state === "waiting" || state === "queued";
        return rest ? null : (
          <rect key={state} x={from} width={width} height="6" fill={`var(--${lookOf(state).tone})`} />
        );
      })}
    </svg>
  );
}
