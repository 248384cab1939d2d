/** On which nodes a task ran, and where copies of it were compared, what each of them answered. */
import { Link } from "@tanstack/react-router";
import type { TaskView } from "../../api/client";
import { isOver } from "../../api/queries";
import looks from "../../ui/looks.module.css";
import { StateMark } from "../../ui/StateMark";
import { at, lasting, short } from "../../ui/words";
import styles from "./Task.module.css";

export function WhereItRan({ task }: { task: TaskView }) {
  const { verification } = task;
  const ran = verification !== null && verification.votes.length > 0;
  return (
    <div className={styles.result}>
      {verification !== null && <Verdict task={task} verification={verification} />}
      {ran ? <Votes votes={verification.votes} /> : <Visits task={task} />}
      {isOver(task.state) && (
        <p>
          <a href={`/api/tasks/${task.id}/receipt`}>Its receipt</a>{" "}
          <span className="mute">is one JSON document by which anybody can check this without a server.</span>
        </p>
      )}
    </div>
  );
}

type Verification = NonNullable<TaskView["verification"]>;

function Verdict({ task, verification }: { task: TaskView; verification: Verification }) {
  const { state, agreed, copies, copiesMax, spared, caseId, votes } = verification;
  return (
    <p>
      {state === "open" ? (
        <>
          <StateMark state="verifying" /> {copies} copies of it run on different nodes (at most {copiesMax}). What they
          answer is shown to nobody before the verdict.
        </>
      ) : spared ? (
        <>One answer, taken unchecked: its node has earned trust.</>
      ) : state === "agreed" ? (
        <>
          <StateMark state="succeeded" word={`agreed ${agreed} of ${votes.length}`} /> The answer is the one they gave.
        </>
      ) : state === "cancelled" ? (
        <>It was cancelled before there was a verdict.</>
      ) : (
        <>
          <StateMark state={task.state} /> No answer was given by enough of its {copies} copies.
        </>
      )}{" "}
      {caseId !== null && (
        <Link to="/cases/$id" params={{ id: caseId }} className={styles.verify}>
          Open the case
        </Link>
      )}
    </p>
  );
}

function Votes({ votes }: { votes: Verification["votes"] }) {
  return (
    <div className={looks.wide} role="region" aria-label="Votes" tabIndex={0}>
      <table className={looks.table}>
        <thead>
          <tr>
            <th>node</th>
            <th className={looks.folds}>owner</th>
            <th>answer</th>
            <th className={looks.foldsFirst}>sha256</th>
            <th>time</th>
            <th>copy</th>
          </tr>
        </thead>
        <tbody>
          {votes.map((vote) => (
            <tr key={vote.copy}>
              <td className="mono">
                <Node id={vote.nodeId} />
              </td>
              <td className={looks.folds}>
                <bdi>{vote.owner}</bdi>
              </td>
              <td>
                <StateMark
                  state={vote.agreed ? "succeeded" : "inconclusive"}
                  word={vote.agreed ? "agrees" : "differs"}
                />
              </td>
              <td className={`mono ${looks.foldsFirst}`} title={vote.answer}>
                {short(vote.answer)}
              </td>
              <td>{lasting(Date.parse(vote.endedAt) - Date.parse(vote.leasedAt))}</td>
              <td>
                {vote.copyId === null ? (
                  <span className="mute">no longer kept</span>
                ) : (
                  <Link to="/tasks/$id" params={{ id: vote.copyId }}>
                    copy {vote.copy + 1}
                  </Link>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Visits({ task }: { task: TaskView }) {
  if (task.attempts.length === 0) {
    return task.verification === null ? <p>{isOver(task.state) ? "On no node." : "No node has it yet."}</p> : null;
  }
  return (
    <div className={looks.wide} role="region" aria-label="Nodes it ran on" tabIndex={0}>
      <table className={looks.table}>
        <thead>
          <tr>
            <th>node</th>
            <th>attempt</th>
            <th className={looks.foldsFirst}>from</th>
            <th>time</th>
            <th>what came of it</th>
          </tr>
        </thead>
        <tbody>
          {task.attempts.map((one) => (
            <tr key={one.number}>
              <td className="mono">
                <Node id={one.nodeId} />
              </td>
              <td>{one.number}</td>
              <td className={looks.foldsFirst}>{at(one.leasedAt)}</td>
              <td>
                {one.endedAt === null || one.endedAt === undefined
                  ? "so far"
                  : lasting(Date.parse(one.endedAt) - Date.parse(one.leasedAt))}
              </td>
              <td>
                <StateMark state={one.outcome ?? "running"} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The name of a node, which leads to its page. */
export function Node({ id }: { id: string }) {
  return (
    <Link to="/nodes/$id" params={{ id }}>
      {id}
    </Link>
  );
}
