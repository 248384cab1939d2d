/** What happened to a task: its output as it comes, its result, its attempts, where it ran, and who agreed. */
import { useMutation } from "@tanstack/react-query";
import { createLazyRoute, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { api, type TaskView, take } from "../../api/client";
import { isOver, queries } from "../../api/queries";
import { useMay } from "../../api/session";
import { useKeys } from "../../keyboard/keys";
import { useLines } from "../../live/lines";
import { AsCurl, copy } from "../../ui/AsCurl";
import { Menu } from "../../ui/Menu";
import { Page } from "../../ui/Page";
import { Failed, Loading } from "../../ui/Said";
import { sayWhyNot } from "../../ui/Toast";
import { cancelOne } from "../tasks/cancel";
import { Json } from "./Json";
import { PARTS, Parts } from "./Parts";
import { useLiveTask, waits } from "./queries";
import { Progress, Reason } from "./Said";
import { Source } from "./Source";
import { TaskFacts } from "./TaskFacts";
import { Why } from "./Why";

export const route = createLazyRoute("/tasks/$id")({ component: Task });

const ALL = [...PARTS, "Source", "As asked"] as const;

function Task() {
  const { id } = useParams({ from: "/tasks/$id" });
  const task = useLiveTask(id);
  if (task.data !== undefined) return <Found key={id} task={task.data} />;
  return (
    <Page title="Task" aside={<AsCurl path={`/api/tasks/${id}`} />}>
      {task.error === null ? (
        <Loading what="the task" />
      ) : (
        <Failed what="the task" error={task.error} again={() => void task.refetch()} />
      )}
    </Page>
  );
}

function Found({ task }: { task: TaskView }) {
  const navigate = useNavigate();
  const search = useSearch({ from: "/tasks/$id" });
  const part = ALL.find((one) => one === search.part) ?? "Output";
  const line = Number(search.line) || null;
  const choose = (next: string, at?: number) =>
    void navigate({
      to: "/tasks/$id",
      params: { id: task.id },
      search: { ...(next === "Output" ? {} : { part: next }), ...(at === undefined ? {} : { line: String(at) }) },
      replace: true,
    });
  const output = useLines(task.id);
  const over = isOver(task.state);
  const may = useMay("submitter");
  const cancel = useMutation({
    mutationFn: () => cancelOne(task.id),
    onError: sayWhyNot,
    onSuccess: () => queries.invalidateQueries({ queryKey: ["task", task.id] }),
  });
  const again = useMutation({
    mutationFn: () => take(api.POST("/api/tasks/{id}/retry", { params: { path: { id: task.id } } })),
    onError: sayWhyNot,
    onSuccess: (made) => navigate({ to: "/tasks/$id", params: { id: made.id } }),
  });
  // A copy or an item belongs to its task: the whole is cancelled, or run again.
  const own = may && task.headId === null;
  const change = () => void navigate({ to: "/tasks/new", search: { from: task.id } });
  useKeys([
    ...ALL.map((one, number) => ({ keys: `${number + 1}`, says: one, run: () => choose(one) })),
    { keys: "c", says: "copy the task's id", run: () => copy(task.id) },
    ...(own && task.payload !== null ? [{ keys: "r", says: "run again with changes", run: change }] : []),
  ]);
  return (
    <Page
      title={task.name || task.id}
      aside={
        <>
          <AsCurl path={`/api/tasks/${task.id}`} />
          {own && over && (
            <button type="button" className="button" disabled={again.isPending} onClick={() => again.mutate()}>
              Run again
            </button>
          )}
          {own && !over && (
            <button type="button" className="button" disabled={cancel.isPending} onClick={() => cancel.mutate()}>
              Cancel
            </button>
          )}
          {own && task.payload !== null && (
            <button type="button" className="button main" onClick={change}>
              Run again with changes
            </button>
          )}
          <Menu
            word="More"
            choices={[
              { word: "Copy its id", run: () => void copy(task.id) },
              { word: "Copy: follow in a terminal", run: () => void copy(`anchor logs -f ${task.id}`) },
              { word: "Copy: why it is as it is", run: () => void copy(`anchor why ${task.id}`) },
            ]}
          />
        </>
      }
      fill
    >
      <TaskFacts task={task} />
      <Reason task={task} show={(place) => choose("Source", place.line)} />
      {waits(task.state) && <Why id={task.id} />}
      <Progress task={task} />
      <Parts
        task={task}
        output={output}
        chosen={part}
        choose={choose}
        show={(place) => choose("Source", place.line)}
        more={{
          Source: <Source task={task} line={line} />,
          "As asked": (
            <Json
              label="As asked"
              value={{
                payload: task.payload,
                requirements: task.requirements,
                limits: task.limits,
                retry: task.retry,
                verify: task.verify,
              }}
            />
          ),
        }}
      />
    </Page>
  );
}
