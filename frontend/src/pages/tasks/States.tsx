/** How many tasks there are in each state, exactly; each is a button that shows only those. */
import { StateMark } from "../../ui/StateMark";
import { count } from "../../ui/words";
import { RARE_STATES, STATES } from "./filter";
import styles from "./Tasks.module.css";

interface StatesProps {
  counts: Record<string, number> | undefined;
  total: number | undefined;
  chosen: string | undefined;
  choose: (state: string | undefined) => void;
}

/** What is counted as this state: a running task is a leased one. */
export function countOf(counts: Record<string, number>, state: string): number {
  return counts[state === "running" ? "leased" : state] ?? 0;
}

export function States({ counts, total, chosen, choose }: StatesProps) {
  const rare = RARE_STATES.filter((state) => state === chosen || (counts !== undefined && countOf(counts, state) > 0));
  const said = (many: number | undefined) => (many === undefined ? "…" : count(many));
  return (
    <div className={styles.states} role="toolbar" aria-label="Show by state">
      <button type="button" className={styles.state} aria-pressed={!chosen} onClick={() => choose(undefined)}>
        all <span className="mono">{said(total)}</span>
      </button>
      {[...STATES, ...rare].map((state) => (
        <button
          key={state}
          type="button"
          className={styles.state}
          data-state={state}
          aria-pressed={chosen === state}
          onClick={() => choose(chosen === state ? undefined : state)}
        >
          <StateMark state={state} /> <span className="mono">{said(counts && countOf(counts, state))}</span>
        </button>
      ))}
    </div>
  );
}
