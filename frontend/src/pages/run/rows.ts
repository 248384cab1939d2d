/** Steps as rows: how each looks, and where it lies on the run's line of time. */
import { type Counts, wordOf } from "../../graph/StateBar";
import { lookOf, type Tone } from "../../ui/states";
import type { StepView } from "../workflows/queries";

export interface Row {
  number: number;
  step: StepView;
}

/** The state a step is shown in, and the words for it. */
export function sayingOf(step: StepView): { state: string; word: string } {
  const { state, items } = step;
  if (items !== null && items.total > 0 && ["waiting", "running", "leased"].includes(state)) {
    // It waits for its items, so some of it runs.
    return { state: "running", word: `running, ${Math.floor((100 * items.done) / items.total)}%` };
  }
  if (state === "backoff") return { state, word: `attempt ${step.attempt} failed, tried again soon` };
  if (step.attempt > 1 && (state === "running" || state === "leased")) {
    return { state, word: `${wordOf(state)}, attempt ${step.attempt}` };
  }
  return { state, word: wordOf(state) };
}

/** How many of these steps are in each state. */
export function countsOf(steps: readonly StepView[], members: readonly number[]): Counts {
  const counts: Record<string, number> = {};
  for (const member of members) {
    const step = steps[member];
    if (step === undefined) continue;
    const { state } = sayingOf(step);
    counts[state] = (counts[state] ?? 0) + 1;
  }
  return counts;
}

const WORST_FIRST: readonly (readonly [Tone, readonly string[]])[] = [
  ["bad", ["failed"]],
  ["verify", ["inconclusive", "verifying"]],
  ["warn", ["backoff", "cancelling"]],
  ["deep", ["running", "leased"]],
];

/** The tone of several steps together: of what is worst, else of what happens; done only where all are. */
export function toneOf(counts: Counts): Tone {
  for (const [tone, states] of WORST_FIRST) if (states.some((state) => counts[state])) return tone;
  const states = Object.keys(counts).filter((state) => counts[state]);
  return states.length > 0 && states.every((state) => lookOf(state).tone === "go") ? "go" : "mute";
}

/** Where a step's bar begins and how long it is, in shares of the whole time from 0 to 1; null where it never began. A step that
 * runs nothing has an end only. */
export function barOf(step: StepView, from: number, until: number): { begin: number; length: number } | null {
  const began = step.startedAt ?? step.finishedAt;
  if (began === null) return null;
  const share = (moment: number) => Math.min(1, Math.max(0, (moment - from) / Math.max(1, until - from)));
  const begin = share(Date.parse(began));
  const end = step.finishedAt === null ? 1 : share(Date.parse(step.finishedAt));
  return { begin, length: Math.max(0, end - begin) };
}
