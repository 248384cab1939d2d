/** The task that was sent from this page, under its form: its output as it comes, and what became of it. */
import { useMutation } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import type { TaskView } from "../../api/client";
import { isOver, queries } from "../../api/queries";
import { useKeys } from "../../keyboard/keys";
import { useLines } from "../../live/lines";
import type { Place } from "../../live/places";
import { Failed, Loading } from "../../ui/Said";
import { StateMark } from "../../ui/StateMark";
import { sayWhyNot } from "../../ui/Toast";
import { PARTS, type Part, Parts } from "../task/Parts";
import { useLiveTask, waits } from "../task/queries";
import { Progress, Reason } from "../task/Said";
import { Time } from "../task/TaskFacts";
import { Why } from "../task/Why";
import { cancelOne } from "../tasks/cancel";
import styles from "./NewTask.module.css";

interface RanProps {
  id: string;
  show: (place: Place) => void;
}

export function Ran({ id, show }: RanProps) {
  const task = useLiveTask(id);
  const place = useRef<HTMLElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another task is what it waits for
  useEffect(() => {
    place.current?.scrollIntoView({ block: "nearest" });
  }, [id]);
  return (
    <section ref={place} className={styles.ran} aria-label="What became of it">
      {task.data !== undefined ? (
        <Found task={task.data} show={show} />
      ) : task.error === null ? (
        <Loading what="the task" />
      ) : (
        <Failed what="the task" error={task.error} again={() => void task.refetch()} />
      )}
    </section>
  );
}

const WAITS_SHOWN_AFTER_MS = 1500;

function Found({ task, show }: { task: TaskView; show: (place: Place) => void }) {
  const [part, setPart] = useState<Part>("Output");
  const output = useLines(task.id);
  const waiting = useLong(waits(task.state), WAITS_SHOWN_AFTER_MS);
  const cancel = useMutation({
    mutationFn: () => cancelOne(task.id),
    onError: sayWhyNot,
    onSuccess: () => queries.invalidateQueries({ queryKey: ["task", task.id] }),
  });
  useKeys([
    ...PARTS.map((one, number) => ({ keys: `${number + 1}`, says: one, run: () => setPart(one) })),
    { keys: "o", says: "to the output", run: () => document.querySelector<HTMLElement>("[role=log]")?.focus() },
  ]);
  return (
    <>
      <div className={styles.head}>
        <h2>
          <Link to="/tasks/$id" params={{ id: task.id }}>
            <bdi>{task.name}</bdi>
          </Link>
        </h2>
        <p className={styles.state}>
          <span role="status">
            <StateMark state={task.state} />
          </span>
          <Time task={task} />
          {task.verification !== null && task.verification.state === "agreed" && !task.verification.spared && (
            <span>
              agreed {task.verification.agreed} of {task.verification.votes.length}
            </span>
          )}
          {!isOver(task.state) && (
            <button type="button" className="button" disabled={cancel.isPending} onClick={() => cancel.mutate()}>
              Cancel
            </button>
          )}
        </p>
      </div>
      <Reason task={task} show={show} />
      {waiting && <Why id={task.id} />}
      <Progress task={task} />
      <Parts<never> task={task} output={output} chosen={part} choose={setPart} show={show} />
    </>
  );
}

/** Whether something has been so for a while: what passes at once is not worth a word. */
function useLong(so: boolean, ms: number): boolean {
  const [long, setLong] = useState(false);
  useEffect(() => {
    setLong(false);
    if (!so) return;
    const timer = window.setTimeout(() => setLong(true), ms);
    return () => window.clearTimeout(timer);
  }, [so, ms]);
  return long;
}
