/** All that is known of the chosen step, and what can be done with it. */
import { Link } from "@tanstack/react-router";
import { X } from "lucide-react";
import { useId, useMemo, useState } from "react";
import { Fact, Facts } from "../../ui/Facts";
import { Hint } from "../../ui/Hint";
import { StateMark } from "../../ui/StateMark";
import { at, count, lasting } from "../../ui/words";
import type { Again, StepView } from "../workflows/queries";
import styles from "./Run.module.css";
import { sayingOf } from "./rows";

const NAMES_MAX = 8;

interface DetailProps {
  step: StepView;
  steps: readonly StepView[];
  choose: (id: string | null) => void;
  /** Whether its items are shown. */
  items: boolean;
  toggleItems: () => void;
  /** Runs part of the run again; null while it is not over. */
  again: ((what: Again) => void) | null;
  whyNot: string | null;
}

export function Detail({ step, steps, choose, items: shown, toggleItems, again, whyNot }: DetailProps) {
  const title = useId();
  const leadsTo = useMemo(
    () =>
      steps
        .filter((one) => one.dependencies.includes(step.id) || one.softDependencies.includes(step.id))
        .map((one) => one.id),
    [steps, step.id],
  );
  const { startedAt, finishedAt, items } = step;
  return (
    <section className={styles.detail} data-items={shown || undefined} aria-labelledby={title}>
      <div className={styles.detailHead}>
        <h2 id={title}>
          <bdi>{step.name}</bdi>
        </h2>
        <button type="button" className={styles.close} aria-label="Choose no step" onClick={() => choose(null)}>
          <X size={16} aria-hidden="true" />
        </button>
      </div>
      <p>
        <StateMark {...sayingOf(step)} />
      </p>
      {step.reason !== null && (
        <p className={styles.reason}>
          <b>{step.reason.message}</b> <Hint says={step.reason.hint} />
        </p>
      )}
      <Facts>
        {step.name !== step.id && (
          <Fact name="id">
            <bdi className="mono">{step.id}</bdi>
          </Fact>
        )}
        {items !== null && <Fact name="items">{`${count(items.done)} of ${count(items.total)} over`}</Fact>}
        {startedAt !== null && <Fact name="began">{at(startedAt)}</Fact>}
        {startedAt !== null && finishedAt !== null && (
          <Fact name="took">{lasting(Date.parse(finishedAt) - Date.parse(startedAt))}</Fact>
        )}
        {step.attempt > 1 && <Fact name="attempt">{step.attempt}</Fact>}
        {step.nodeId !== null && (
          <Fact name="node">
            <Link to="/nodes/$id" params={{ id: step.nodeId }} className="mono">
              {step.nodeId}
            </Link>
          </Fact>
        )}
        <Names title="waits for" ids={[...step.dependencies, ...step.softDependencies]} choose={choose} />
        <Names title="leads to" ids={leadsTo} choose={choose} />
      </Facts>
      <div className={styles.acts}>
        {items !== null && items.total > 0 && (
          <button type="button" className="button" aria-pressed={shown} onClick={toggleItems}>
            Look at its items <kbd>i</kbd>
          </button>
        )}
        {step.taskId !== null && (
          <Link to="/tasks/$id" params={{ id: step.taskId }} className="button">
            Open its task
          </Link>
        )}
        {again !== null && (
          <button
            type="button"
            className="button"
            disabled={whyNot !== null}
            title={whyNot ?? undefined}
            onClick={() => again({ from: step.id })}
          >
            Run again from here
          </button>
        )}
      </div>
      {again !== null && items !== null && items.total > 0 && (
        <OneItem step={step.id} total={items.total} again={again} whyNot={whyNot} />
      )}
    </section>
  );
}

function Names({ title, ids, choose }: { title: string; ids: readonly string[]; choose: (id: string) => void }) {
  if (ids.length === 0) return null;
  const names = (
    <span className={styles.names}>
      {ids.slice(0, NAMES_MAX).map((id) => (
        <button key={id} type="button" className="link" onClick={() => choose(id)}>
          <bdi>{id}</bdi>
        </button>
      ))}
      {ids.length > NAMES_MAX && <span className="mute">and {count(ids.length - NAMES_MAX)} more</span>}
    </span>
  );
  return <Fact name={title}>{names}</Fact>;
}

interface OneItemProps {
  step: string;
  total: number;
  again: (what: Again) => void;
  whyNot: string | null;
}

function OneItem({ step, total, again, whyNot }: OneItemProps) {
  const [number, setNumber] = useState("0");
  const id = useId();
  return (
    <form
      className={styles.acts}
      onSubmit={(event) => {
        event.preventDefault();
        again({ item: { step, number: Number(number) } });
      }}
    >
      <label htmlFor={id}>Item, 0 to {count(total - 1)}</label>
      <input
        id={id}
        className={`field ${styles.number}`}
        type="number"
        min={0}
        max={total - 1}
        required
        value={number}
        onChange={(event) => setNumber(event.target.value)}
      />
      <button type="submit" className="button" disabled={whyNot !== null} title={whyNot ?? undefined}>
        Run this one again
      </button>
    </form>
  );
}
