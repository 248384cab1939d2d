/** How many tasks there are in each state, exactly; each is a button that shows only those. */
import { Choice, Choices } from "../../ui/Choices";
import { StateMark } from "../../ui/StateMark";
import { count } from "../../ui/words";
import { RARE_STATES, STATES } from "./filter";

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
    <Choices label="Show by state">
      <Choice chosen={!chosen} choose={() => choose(undefined)}>
        all <span className="mono">{said(total)}</span>
      </Choice>
      {[...STATES, ...rare].map((state) => (
        <Choice
          key={state}
          state={state}
          chosen={chosen === state}
          choose={() => choose(chosen === state ? undefined : state)}
        >
          <StateMark state={state} /> <span className="mono">{said(counts && countOf(counts, state))}</span>
        </Choice>
      ))}
    </Choices>
  );
}
