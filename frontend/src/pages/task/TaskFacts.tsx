/** The facts of a task in a row: its state, whose it is, where it is, how long it took. */
import { Link } from "@tanstack/react-router";
import type { TaskView } from "../../api/client";
import { isOver } from "../../api/queries";
import { Fact, Facts } from "../../ui/Facts";
import { StateMark } from "../../ui/StateMark";
import { useNow } from "../../ui/useNow";
import { at, lasting } from "../../ui/words";
import { Node } from "./WhereItRan";

export function TaskFacts({ task }: { task: TaskView }) {
  const { verification } = task;
  return (
    <Facts>
      <Fact name="state">
        <StateMark state={task.state} />
      </Fact>
      <Fact name={isOver(task.state) ? "took" : "for"}>
        <Time task={task} />
      </Fact>
      <Fact name="node">
        {task.nodeId === null ? (
          "none"
        ) : (
          <span className="mono">
            <Node id={task.nodeId} />
          </span>
        )}
      </Fact>
      <Fact name="runtime">{task.runtime}</Fact>
      {verification !== null && (
        <Fact name="checked">
          {verification.state === "open" ? (
            <StateMark state="verifying" word={`${verification.copies} copies run`} />
          ) : verification.spared ? (
            "one answer, trusted"
          ) : (
            `agreed ${verification.agreed} of ${verification.votes.length}`
          )}
        </Fact>
      )}
      <Fact name="submitted">
        {at(task.createdAt)} by <bdi>{task.owner}</bdi>
      </Fact>
      {task.dagId !== null && (
        <Fact name="step of">
          <Link to="/dags/$id" params={{ id: task.dagId }} className="mono">
            {task.dagId}
          </Link>
        </Fact>
      )}
      {task.headId !== null && (
        <Fact name="part of">
          <TaskLink id={task.headId} />
        </Fact>
      )}
      {task.retryOf !== null && (
        <Fact name="repeats">
          <TaskLink id={task.retryOf} />
        </Fact>
      )}
      {task.labels.length > 0 && (
        <Fact name="labels">
          <bdi>{task.labels.join(", ")}</bdi>
        </Fact>
      )}
      <Fact name="id">
        <span className="mono">{task.id}</span>
      </Fact>
    </Facts>
  );
}

/** How long it took, or how long it has been running or waiting. */
export function Time({ task }: { task: TaskView }) {
  const now = useNow(!isOver(task.state));
  const from = Date.parse(task.startedAt ?? task.createdAt);
  const to = task.finishedAt === null ? now : Date.parse(task.finishedAt);
  if (isOver(task.state) && task.startedAt === null) return "it never ran";
  return <span className="mono">{lasting(Math.max(0, to - from))}</span>;
}

function TaskLink({ id }: { id: string }) {
  return (
    <Link to="/tasks/$id" params={{ id }} className="mono">
      {id}
    </Link>
  );
}
