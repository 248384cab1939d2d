/** Find any task, and act on many. */
import { useQueryClient } from "@tanstack/react-query";
import { createLazyRoute, Link, useNavigate, useRouterState, useSearch } from "@tanstack/react-router";
import { useCallback, useEffect, useMemo, useState } from "react";
import type { TaskRow } from "../../api/client";
import { useMay } from "../../api/session";
import { serverNow } from "../../live/pulse";
import { AsCurl } from "../../ui/AsCurl";
import { Hint } from "../../ui/Hint";
import { Page } from "../../ui/Page";
import { Empty, Failed, Loading } from "../../ui/Said";
import { type Place, SparseTable } from "../../ui/SparseTable";
import { at, count } from "../../ui/words";
import { Bulk } from "./Bulk";
import { COLUMNS } from "./columns";
import { askedOf, EXAMPLE, readFilter, saidOf, textOf } from "./filter";
import { type List, ROWS_MAX, useCounts, useFreshRows, useRows } from "./queries";
import { isTaskId } from "./query";
import { countOf, States } from "./States";
import styles from "./Tasks.module.css";
import { Views, Words } from "./Words";

export const route = createLazyRoute("/tasks")({ component: Tasks });

/** Lists that were looked at, by the entry of the browser's history: whoever comes back finds the same rows in the same
 * place. */
const looks = new Map<string, { since: number; place: Place }>();
const TOP: Place = { chosen: -1, scrolled: 0 };

function Tasks() {
  const { q = "" } = useSearch({ from: "/tasks" });
  const entry = useRouterState({ select: (state) => state.location.state.__TSR_key ?? "" });
  const [again, setAgain] = useState(0);
  // Another filter is another list: looked at from now on, with nothing selected.
  const key = `${entry} ${q}`;
  const look = looks.get(key) ?? { since: serverNow(), place: TOP };
  looks.set(key, look);
  const lookAgain = () => {
    looks.delete(key);
    setAgain(again + 1);
  };
  return <TasksOf key={`${key} ${again}`} q={q} look={look} lookAgain={lookAgain} />;
}

interface TasksOfProps {
  q: string;
  look: { since: number; place: Place };
  lookAgain: () => void;
}

function TasksOf({ q, look, lookAgain }: TasksOfProps) {
  const { since } = look;
  const navigate = useNavigate();
  const client = useQueryClient();
  const mayAct = useMay("submitter");
  const { filter, wrong } = useMemo(() => readFilter(q), [q]);
  const list: List = useMemo(
    () => ({ asked: wrong === null ? askedOf(filter, since) : {}, since }),
    [filter, wrong, since],
  );
  const [[first, last], setSight] = useState<[number, number]>([0, 0]);
  const seen = useCallback((first: number, last: number) => setSight([first, last]), []);
  const rows = useRows(list, first, last, wrong === null);
  const inSight = Array.from({ length: last - first + 1 }, (_, at) => rows.row(first + at) ?? []).flat();
  useFreshRows(list, inSight);
  const counts = useCounts(list.asked, rows.newest, wrong === null).data;
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [isAll, setIsAll] = useState(false);
  usePastedId();

  const state = filter.state;
  const inList = (of: Record<string, number>) =>
    state === undefined ? Object.values(of).reduce((sum, n) => sum + n, 0) : countOf(of, state);
  const newer = counts === undefined ? 0 : inList(counts.newer);
  const matching = counts === undefined ? rows.total : inList(counts.counts) - newer;
  const select = (ids: ReadonlySet<string>) => {
    setIsAll(false);
    setSelected(ids);
  };
  const to = (next: typeof filter) => {
    const text = textOf(next);
    void navigate({ to: "/tasks", search: text === "" ? {} : { q: text } });
  };
  const over = (failed: readonly string[]) => {
    select(new Set(failed));
    void client.invalidateQueries({ queryKey: ["tasks", "counts"] });
    void client.invalidateQueries({ queryKey: ["tasks", "now"] });
  };
  const many = isAll ? (matching ?? selected.size) : selected.size;
  const words =
    Object.entries(filter)
      .map(([field, value]) => saidOf(field, value))
      .join(", ") || "all tasks there are";

  return (
    <Page title="Tasks" aside={<AsCurl path={`/api/tasks?${new URLSearchParams(list.asked)}`} />} fill>
      {wrong === null && (
        <States
          counts={counts?.counts}
          total={counts?.total}
          chosen={state}
          choose={(state) => to({ ...filter, state } as typeof filter)}
        />
      )}
      <div className={styles.asked}>
        {wrong === null && <Words filter={filter} />}
        <Views q={wrong === null ? q : null} />
      </div>
      {wrong !== null ? (
        <Empty title={wrong.message}>
          <p>
            <Hint says={wrong.hint} />
          </p>
          <p>
            For example:{" "}
            <Link to="/tasks" search={{ q: EXAMPLE }} className="mono">
              {EXAMPLE}
            </Link>
          </p>
          <Link to="/tasks">Show all tasks</Link>
        </Empty>
      ) : rows.count === null && rows.error !== null ? (
        <Failed what="tasks" error={rows.error} again={rows.again} />
      ) : rows.count === null ? (
        <Loading what="tasks" />
      ) : rows.count === 0 ? (
        <NoTasks filtered={q !== ""} newer={newer} show={lookAgain} />
      ) : (
        <>
          {rows.error !== null && <Failed what="tasks here" error={rows.error} again={rows.again} />}
          <Bulk
            many={many}
            isAll={isAll}
            all={matching !== null && matching > selected.size ? matching : null}
            target={
              isAll
                ? rows.newest === undefined
                  ? null
                  : { filter: list.asked, before: rows.newest }
                : { ids: [...selected] }
            }
            words={words}
            selectAll={() => setIsAll(true)}
            selectNone={() => select(new Set())}
            over={over}
            aside={<Newer many={newer} show={lookAgain} />}
          >
            {count(rows.total ?? rows.count)} as of {at(new Date(since).toISOString())}
            {(rows.total ?? 0) > ROWS_MAX && `; the newest ${count(ROWS_MAX)} are listed, say more to find older ones`}
            {!mayAct && ". Your key only looks: it cannot cancel tasks or run them again."}
          </Bulk>
          <div className={styles.table}>
            <SparseTable
              label="Tasks, newest first"
              columns={COLUMNS}
              count={rows.count}
              rowAt={rows.row}
              idOf={idOf}
              nameOf={(row) => `${row.name} ${row.id}`}
              place={look.place}
              left={(place) => {
                look.place = place;
              }}
              seen={seen}
              open={(row) => void navigate({ to: "/tasks/$id", params: { id: row.id } })}
              selected={isAll ? new Set(inSight.map(idOf)) : selected}
              select={mayAct ? select : undefined}
              between={(first, last) => rows.fetch(first, last + 1)}
            />
          </div>
        </>
      )}
    </Page>
  );
}

const idOf = (row: TaskRow) => row.id;

/** The id of a task that is pasted anywhere but into a field opens that task. */
function usePastedId(): void {
  const navigate = useNavigate();
  useEffect(() => {
    const pasted = (event: ClipboardEvent) => {
      const id = event.clipboardData?.getData("text").trim() ?? "";
      if (!isTaskId(id) || (event.target instanceof Element && event.target.closest("input, textarea"))) return;
      void navigate({ to: "/tasks/$id", params: { id } });
    };
    document.addEventListener("paste", pasted);
    return () => document.removeEventListener("paste", pasted);
  }, [navigate]);
}

/** What came since the list was looked at: shown when it is asked for, so that no row moves under anybody's hand. */
function Newer({ many, show }: { many: number; show: () => void }) {
  if (many <= 0) return null;
  return (
    <button type="button" className="button" onClick={show}>
      {count(many)} newer: show
    </button>
  );
}

function NoTasks({ filtered, newer, show }: { filtered: boolean; newer: number; show: () => void }) {
  const look = <Newer many={newer} show={show} />;
  if (filtered) {
    return (
      <Empty title="No task is like this.">
        <Link to="/tasks">Show all tasks</Link>
        {look}
      </Empty>
    );
  }
  return (
    <Empty title="There are no tasks yet.">
      <p>
        A task is a piece of code that runs on one of your nodes. Here you find every one of them again: by its state,
        its name, its labels, the node it ran on and when it was submitted.
      </p>
      <Link to="/tasks/new" className="button main">
        Run the first one
      </Link>
      {look}
    </Empty>
  );
}
