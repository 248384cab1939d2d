/** What can be done to selected tasks: asked first with their number, shown as it goes on, and told at the end. */
import { Link } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import { Dialog, Leave } from "../../ui/Dialog";
import { count, many } from "../../ui/words";
import { type Action, type Outcome, type Target, treatAll } from "./bulk";
import styles from "./Tasks.module.css";

const SHOWN_MAX = 5;

interface BulkProps {
  /** How many are selected. */
  many: number;
  target: Target | null;
  /** How many match in all, where more do than are selected; null where no more do, or nobody knows. */
  all: number | null;
  /** Selected are all that match. */
  isAll: boolean;
  /** What is asked for, in words. */
  words: string;
  selectAll: () => void;
  selectNone: () => void;
  /** What is said where nothing is selected. */
  children: React.ReactNode;
  /** What else belongs into the line. */
  aside: React.ReactNode;
  /** Called at the end with the ids that could not be treated. */
  over: (failed: readonly string[]) => void;
}

const WORDS = {
  cancel: { verb: "Cancel", done: "cancelled", unchanged: "over already", going: "Cancelling" },
  retry: { verb: "Run again", done: "run again, as new tasks", unchanged: "not over yet", going: "Running again" },
} as const;

const tasks = (number: number) => many(number, "task");

export function Bulk(props: BulkProps) {
  const { many, target, all, isAll, words, selectAll, selectNone, over, children, aside } = props;
  const [asked, setAsked] = useState<Action | null>(null);
  const [outcome, setOutcome] = useState<{ action: Action; outcome: Outcome } | null>(null);
  const ended = (action: Action, outcome: Outcome) => {
    setAsked(null);
    setOutcome({ action, outcome });
    over(outcome.failed.map((one) => one.id));
  };
  return (
    <>
      {outcome !== null && <Told {...outcome} away={() => setOutcome(null)} />}
      {many === 0 ? (
        <div className={styles.about}>
          <span>{children}</span>
          {aside}
        </div>
      ) : (
        <div className={styles.bulk} role="toolbar" aria-label="Selected tasks">
          <b>{isAll ? `All ${count(many)} that match are selected` : `${count(many)} selected`}</b>
          {all !== null && !isAll && (
            <button type="button" className="link" onClick={selectAll}>
              Select all {count(all)} that match
            </button>
          )}
          {(["cancel", "retry"] as const).map((action) => (
            <button key={action} type="button" className="button" onClick={() => setAsked(action)}>
              {WORDS[action].verb}…
            </button>
          ))}
          <button type="button" className="link" onClick={selectNone}>
            Select none
          </button>
          <span className={styles.space} />
          {aside}
        </div>
      )}
      {asked !== null && target !== null && (
        <Confirm
          action={asked}
          many={many}
          words={isAll ? words : ""}
          target={target}
          close={() => setAsked(null)}
          ended={ended}
        />
      )}
    </>
  );
}

interface ConfirmProps {
  action: Action;
  many: number;
  words: string;
  target: Target;
  close: () => void;
  ended: (action: Action, outcome: Outcome) => void;
}

function Confirm({ action, many, words, target, close, ended }: ConfirmProps) {
  const [soFar, setSoFar] = useState<Outcome | null>(null);
  const [stopping, setStopping] = useState(false);
  const stop = useRef(new AbortController());
  // Somebody who leaves the page sees no progress any more: it stops where it is.
  useEffect(() => () => stop.current.abort(), []);
  const word = WORDS[action];
  const begin = async () => {
    stop.current = new AbortController();
    setSoFar({ matched: 0, done: 0, unchanged: 0, failed: [], whole: true, problem: null });
    ended(action, await treatAll(action, target, setSoFar, stop.current.signal));
  };
  const halt = () => {
    stop.current.abort();
    setStopping(true);
  };
  if (soFar !== null) {
    return (
      <Dialog title={`${word.going} ${tasks(many)}`}>
        <progress className={styles.progress} max={Math.max(many, soFar.matched)} value={soFar.matched}>
          {soFar.matched}
        </progress>
        <p role="status">
          {count(soFar.matched)} of {count(Math.max(many, soFar.matched))}
        </p>
        <div>
          <button type="button" className="button" disabled={stopping} onClick={halt}>
            {stopping ? "Stopping…" : "Stop here"}
          </button>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog title={action === "cancel" ? `Cancel ${tasks(many)}?` : `Run ${tasks(many)} again?`} close={close}>
      <p>
        {words === "" ? "These are the tasks you selected. " : `These are all that match: ${words}. `}
        {action === "cancel"
          ? "Those that run are stopped; those that are over stay as they are. It cannot be undone."
          : "Each that is over is submitted again as a new task; those that are not over stay as they are."}
      </p>
      <div className={styles.choices}>
        <button type="button" className="button main" onClick={() => void begin()}>
          {action === "cancel" ? `Cancel ${tasks(many)}` : `Run ${tasks(many)} again`}
        </button>
        <Leave close={close} />
      </div>
    </Dialog>
  );
}

function Told({ action, outcome, away }: { action: Action; outcome: Outcome; away: () => void }) {
  const word = WORDS[action];
  const { done, unchanged, failed, whole, problem } = outcome;
  const parts = [`${tasks(done)} ${word.done}`];
  if (unchanged > 0) parts.push(`${count(unchanged)} ${unchanged === 1 ? "was" : "were"} ${word.unchanged}`);
  if (failed.length > 0)
    parts.push(`${count(failed.length)} could not be, and ${failed.length === 1 ? "stays" : "stay"} selected`);
  return (
    <section className={`${styles.told} ${failed.length > 0 || problem ? styles.bad : ""}`} aria-label="What was done">
      <p role="status">
        <b>{parts.join("; ")}.</b> {!whole && problem === null && "You stopped it here; the rest is as it was."}
        {problem !== null && `Then it went no further: ${problem.message} ${problem.hint}`}
      </p>
      {failed.length > 0 && (
        <ul>
          {failed.slice(0, SHOWN_MAX).map((one) => (
            <li key={one.id}>
              <Link to="/tasks/$id" params={{ id: one.id }} className="mono">
                {one.id}
              </Link>{" "}
              <bdi>{one.message}</bdi>
            </li>
          ))}
          {failed.length > SHOWN_MAX && <li>and {count(failed.length - SHOWN_MAX)} more</li>}
        </ul>
      )}
      <button type="button" className="link" onClick={away}>
        Put away
      </button>
    </section>
  );
}
