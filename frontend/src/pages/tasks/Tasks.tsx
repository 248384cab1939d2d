/** Find any task, and act on many. */
import { createLazyRoute, Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useEffect, useState } from "react";
import type { TaskRow } from "../../api/client";
import { isOver, useQueue, useTasks } from "../../api/queries";
import { AsCurl } from "../../ui/AsCurl";
import { Page } from "../../ui/Page";
import { Empty, Failed, Loading } from "../../ui/Said";
import { StateMark } from "../../ui/StateMark";
import { type Column, Table } from "../../ui/Table";
import { say } from "../../ui/Toast";
import { ago, count, lasting } from "../../ui/words";
import { cancelAll } from "./cancel";
import { queryOf, readQuery } from "./query";
import styles from "./Tasks.module.css";

export const route = createLazyRoute("/tasks")({ component: Tasks });

const COLUMNS: readonly Column<TaskRow>[] = [
  { name: "state", width: "140px", narrow: "110px", cell: (row) => <StateMark state={row.state} /> },
  {
    name: "name",
    width: "minmax(120px, 1fr)",
    narrow: "minmax(0, 1fr)",
    cell: (row) => (
      <Link to="/tasks/$id" params={{ id: row.id }} tabIndex={-1}>
        <bdi>{row.name || row.id}</bdi>
      </Link>
    ),
  },
  { name: "id", width: "170px", cell: (row) => <span className="mono">{row.id}</span> },
  { name: "runtime", width: "80px", cell: (row) => row.runtime },
  { name: "node", width: "140px", cell: (row) => <span className="mono">{row.nodeId ?? ""}</span> },
  { name: "attempt", width: "70px", cell: (row) => row.attempt },
  { name: "took", width: "80px", cell: (row) => took(row) },
  { name: "submitted", width: "110px", narrow: "84px", cell: (row) => ago(row.createdAt) },
];

function took(row: TaskRow): string {
  if (row.startedAt === null) return "";
  return lasting((row.finishedAt === null ? Date.now() : Date.parse(row.finishedAt)) - Date.parse(row.startedAt));
}

function Tasks() {
  const navigate = useNavigate();
  const { q = "" } = useSearch({ from: "/tasks" });
  const { filter, wrong } = readQuery(q);
  const tasks = useTasks(filter, wrong === null);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  // biome-ignore lint/correctness/useExhaustiveDependencies: other rows, another choice
  useEffect(() => setSelected(new Set()), [q]);
  const rows = tasks.data?.pages.flatMap((page) => page.rows) ?? [];
  const total = tasks.data?.pages[0]?.total ?? null;
  const { fetchNextPage, hasNextPage, isFetchingNextPage } = tasks;
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [fetchNextPage, hasNextPage, isFetchingNextPage]);

  const cancel = async () => {
    const live = rows.filter((row) => selected.has(row.id) && !isOver(row.state)).map((row) => row.id);
    const over = selected.size - live.length;
    const { done, failed } = await cancelAll(live);
    const parts = [`${count(done.length)} cancelled`];
    if (over > 0) parts.push(`${count(over)} were over already`);
    if (failed.length > 0) parts.push(`${count(failed.length)} not: ${failed[0]!.problem.message}`);
    say(`${parts.join(", ")}.`, failed.length > 0);
    setSelected(new Set(failed.map((one) => one.id)));
    void tasks.refetch();
  };

  return (
    <Page
      title="Tasks"
      aside={<AsCurl path={`/api/tasks?${new URLSearchParams(filter as Record<string, string>)}`} />}
      fill
    >
      <States
        chosen={filter.state}
        choose={(state) => void navigate({ to: "/tasks", search: searchOf({ ...filter, state }) })}
      />
      {filter.label !== undefined && (
        <p>
          Only those labelled <b>{filter.label}</b>.{" "}
          <Link to="/tasks" search={searchOf({ ...filter, label: undefined })}>
            Show all
          </Link>
        </p>
      )}
      {selected.size > 0 && (
        <div className={styles.bulk} role="toolbar" aria-label="Selected tasks">
          <span>{count(selected.size)} selected</span>
          <button type="button" className="button" onClick={() => void cancel()}>
            Cancel them
          </button>
          <button type="button" className="link" onClick={() => setSelected(new Set())}>
            Select none
          </button>
        </div>
      )}
      {wrong !== null ? (
        <Empty title={wrong} />
      ) : tasks.isPending ? (
        <Loading what="tasks" />
      ) : tasks.isError && rows.length === 0 ? (
        <Failed what="tasks" error={tasks.error} again={() => void tasks.refetch()} />
      ) : rows.length === 0 ? (
        <NoTasks filtered={q !== ""} />
      ) : (
        <>
          <p className="mute">
            {total === null ? `The newest ${count(rows.length)}` : `${count(total)} in all`}
            {hasNextPage ? "; more come as you scroll." : "."}
          </p>
          <div className={styles.table}>
            <Table
              label="Tasks, newest first"
              columns={COLUMNS}
              rows={rows}
              idOf={(row) => row.id}
              total={total}
              open={(row) => void navigate({ to: "/tasks/$id", params: { id: row.id } })}
              selected={selected}
              select={setSelected}
              more={more}
            />
          </div>
        </>
      )}
    </Page>
  );
}

function searchOf(filter: { state?: string | undefined; label?: string | undefined }): { q?: string } {
  const kept = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));
  const q = queryOf(kept);
  return q === "" ? {} : { q };
}

function NoTasks({ filtered }: { filtered: boolean }) {
  if (filtered) {
    return (
      <Empty title="No task is like this.">
        <Link to="/tasks">Show all tasks</Link>
      </Empty>
    );
  }
  return (
    <Empty title="There are no tasks yet.">
      <p>
        A task is a piece of code that runs on one of your nodes. Submit the first one:{" "}
        <span className="mono">anchor run</span>
      </p>
    </Empty>
  );
}

function States({ chosen, choose }: { chosen: string | undefined; choose: (state: string | undefined) => void }) {
  const queue = useQueue().data?.tasks;
  const counted: [string, number | undefined][] = [
    ["queued", queue?.waiting],
    ["running", queue?.active],
    ["backoff", queue?.delayed],
    ["succeeded", queue?.completed],
    ["failed", queue?.failed],
    ["cancelled", queue?.cancelled],
  ];
  return (
    <div className={styles.states} role="toolbar" aria-label="Show by state">
      {counted.map(([state, many]) => (
        <button
          key={state}
          type="button"
          className={styles.state}
          aria-pressed={chosen === state}
          onClick={() => choose(chosen === state ? undefined : state)}
        >
          <StateMark state={state} /> <span className="mono">{many === undefined ? "…" : count(many)}</span>
        </button>
      ))}
    </div>
  );
}
