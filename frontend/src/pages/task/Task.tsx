/** What happened to one task: its output first, then its result, its attempts, and how it was asked for. */
import { useMutation } from "@tanstack/react-query";
import { createLazyRoute, Link, useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { api, type TaskView, take } from "../../api/client";
import { isOver, queries, useTask } from "../../api/queries";
import { useLines } from "../../live/lines";
import { useKeys } from "../../shell/keys";
import { AsCurl, copy } from "../../ui/AsCurl";
import { Menu } from "../../ui/Menu";
import { Output } from "../../ui/Output";
import { Page } from "../../ui/Page";
import { Failed, Loading } from "../../ui/Said";
import { StateMark } from "../../ui/StateMark";
import { Tabs } from "../../ui/Tabs";
import { say } from "../../ui/Toast";
import { at, bytes, lasting } from "../../ui/words";
import { cancelOne } from "../tasks/cancel";
import { Attempts } from "./Attempts";
import styles from "./Task.module.css";

export const route = createLazyRoute("/tasks/$id")({ component: Task });

const PARTS = ["Output", "Result", "Attempts", "As asked"] as const;

function Task() {
  const { id } = useParams({ from: "/tasks/$id" });
  const task = useTask(id);
  if (task.data !== undefined) return <Found key={id} task={task.data} />;
  return (
    <Page title="Task">
      {task.isPending ? (
        <Loading what="the task" />
      ) : (
        <Failed what="task" error={task.error} again={() => void task.refetch()} />
      )}
    </Page>
  );
}

function Found({ task }: { task: TaskView }) {
  const navigate = useNavigate();
  const [part, setPart] = useState<(typeof PARTS)[number]>("Output");
  const output = useLines(task.id);
  const over = isOver(task.state);
  const failed = (error: Error) => say(error.message, true);
  const cancel = useMutation({
    mutationFn: () => cancelOne(task.id),
    onError: failed,
    onSuccess: () => queries.invalidateQueries({ queryKey: ["task", task.id] }),
  });
  const again = useMutation({
    mutationFn: () => take(api.POST("/api/tasks/{id}/retry", { params: { path: { id: task.id } } })),
    onError: failed,
    onSuccess: (made) => navigate({ to: "/tasks/$id", params: { id: made.id } }),
  });
  useKeys([
    ...PARTS.map((one, number) => ({ keys: `${number + 1}`, says: one, run: () => setPart(one) })),
    { keys: "c", says: "copy the task's id", run: () => copy(task.id) },
  ]);
  return (
    <Page
      title={task.name || task.id}
      aside={
        <>
          <AsCurl path={`/api/tasks/${task.id}`} />
          {over ? (
            <button type="button" className="button main" disabled={again.isPending} onClick={() => again.mutate()}>
              Run again
            </button>
          ) : (
            <button type="button" className="button" disabled={cancel.isPending} onClick={() => cancel.mutate()}>
              Cancel
            </button>
          )}
          <Menu
            word="More"
            choices={[
              { word: "Copy its id", run: () => void copy(task.id) },
              { word: "Copy: follow in a terminal", run: () => void copy(`anchor logs -f ${task.id}`) },
            ]}
          />
        </>
      }
      fill
    >
      <dl className={styles.facts}>
        <Fact name="state">
          <StateMark state={task.state} />
        </Fact>
        <Fact name="id">
          <span className="mono">{task.id}</span>
        </Fact>
        <Fact name="runtime">{task.runtime}</Fact>
        <Fact name="node">{task.nodeId === null ? "none" : <span className="mono">{task.nodeId}</span>}</Fact>
        <Fact name="submitted">
          {at(task.createdAt)} by <bdi>{task.owner}</bdi>
        </Fact>
        {task.startedAt !== null && task.finishedAt !== null && (
          <Fact name="took">{lasting(Date.parse(task.finishedAt) - Date.parse(task.startedAt))}</Fact>
        )}
        {task.verification !== null && (
          <Fact name="verified">
            agreed {task.verification.agreed} of {task.verification.copies}
          </Fact>
        )}
        {task.retryOf !== null && (
          <Fact name="repeats">
            <Link to="/tasks/$id" params={{ id: task.retryOf }} className="mono">
              {task.retryOf}
            </Link>
          </Fact>
        )}
      </dl>
      {task.reason !== null && (
        <p className={styles.reason}>
          <b>{task.reason.message}</b> {task.reason.hint}
        </p>
      )}
      {task.progress !== null && (
        <p>
          {task.progress.fraction !== null && <progress value={task.progress.fraction} aria-label="Progress" />}{" "}
          <bdi>{task.progress.message}</bdi>
        </p>
      )}
      <Tabs label="Parts of the task" names={PARTS} chosen={part} choose={setPart}>
        {part === "Output" && <Output output={output} rawUrl={`/api/tasks/${task.id}/logs`} />}
        {part === "Result" && <Result task={task} />}
        {part === "Attempts" && <Attempts attempts={task.attempts} />}
        {part === "As asked" && (
          <Json
            value={{
              payload: task.payload,
              requirements: task.requirements,
              limits: task.limits,
              retry: task.retry,
              verify: task.verify,
            }}
          />
        )}
      </Tabs>
    </Page>
  );
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div>
      <dt className="label">{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Result({ task }: { task: TaskView }) {
  if (task.state !== "succeeded") {
    return <p>{isOver(task.state) ? "It came to no result." : "There is no result before it is done."}</p>;
  }
  return (
    <div className={styles.result}>
      {task.resultBlob === null ? (
        <Json value={task.result} />
      ) : (
        <p>
          The result is too large to show here: <a href={`/api/tasks/${task.id}/result`}>fetch it</a>.
        </p>
      )}
      {task.files.length > 0 && (
        <ul aria-label="Files it left">
          {task.files.map((file) => (
            <li key={file.name}>
              <a href={file.url} download>
                <bdi>{file.name}</bdi>
              </a>{" "}
              <span className="mute">{bytes(file.size)}</span>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

function Json({ value }: { value: unknown }) {
  return (
    <pre className={styles.json} tabIndex={0}>
      {JSON.stringify(value, null, 2)}
    </pre>
  );
}
