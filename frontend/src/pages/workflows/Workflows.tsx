/** Every run of a workflow: how it is going, and how far it is. */
import { createLazyRoute, Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useState } from "react";
import { useQueue } from "../../api/queries";
import { doneOf, inWords, StateBar } from "../../graph/StateBar";
import { useKeys } from "../../keyboard/keys";
import { serverNow } from "../../live/pulse";
import { AsCurl } from "../../ui/AsCurl";
import { Choice, Choices } from "../../ui/Choices";
import { Page } from "../../ui/Page";
import { Empty, Failed, Loading } from "../../ui/Said";
import { StateMark } from "../../ui/StateMark";
import { type Column, Table } from "../../ui/Table";
import { say } from "../../ui/Toast";
import { ago, count, lasting } from "../../ui/words";
import { useWhyNot } from "./may";
import { isRunOver, RUN_STATES, type RunListed, type RunState, useRuns } from "./queries";
import { useAgain } from "./useAgain";
import styles from "./Workflows.module.css";

export const route = createLazyRoute("/dags")({ component: Workflows });

function Workflows() {
  const navigate = useNavigate();
  const whyNot = useWhyNot();
  const asked = useSearch({ from: "/dags" }).state;
  const state = RUN_STATES.find((one) => one === asked);
  const runs = useRuns(state);
  const [chosen, setChosen] = useState<string | null>(null);
  const rows = runs.data?.pages.flatMap((page) => page.rows) ?? [];
  const total = runs.data?.pages[0]?.total ?? null;
  const { fetchNextPage, hasNextPage, isFetchingNextPage } = runs;
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [fetchNextPage, hasNextPage, isFetchingNextPage]);

  const again = useAgain();
  const chosenRow = rows.find((row) => row.id === chosen);
  useKeys([
    { keys: "n", says: "build a workflow", run: () => void navigate({ to: "/dags/new" }) },
    {
      keys: "r",
      says: "run the chosen workflow again",
      run: () => {
        if (chosenRow === undefined) say("Choose a run first: j and k.");
        else if (whyNot !== null) say(whyNot, true);
        else if (!isRunOver(chosenRow.state)) say("It still runs.", true);
        else void again(chosenRow.id, {});
      },
    },
  ]);
  const path = `/api/dags?${new URLSearchParams({ counts: "true", ...(state === undefined ? {} : { state }) })}`;
  return (
    <Page
      title="Workflows"
      aside={
        <>
          <AsCurl path={path} />
          <Link to="/dags/new" className="button main">
            Build a workflow
          </Link>
        </>
      }
      fill
    >
      <States
        chosen={state}
        choose={(next) => void navigate({ to: "/dags", search: next === undefined ? {} : { state: next } })}
      />
      {asked !== undefined && state === undefined ? (
        <Empty title={`A run is never ${asked}.`}>
          <Link to="/dags">Show all runs</Link>
        </Empty>
      ) : runs.isPending ? (
        <Loading what="workflows" />
      ) : runs.isError && rows.length === 0 ? (
        <Failed what="workflows" error={runs.error} again={() => void runs.refetch()} />
      ) : rows.length === 0 ? (
        <NoRuns filtered={state !== undefined} />
      ) : (
        <>
          <p className="mute">
            {total === null ? `The newest ${count(rows.length)}` : `${count(total)} in all`}
            {hasNextPage ? "; more come as you scroll." : "."}
          </p>
          <div className={styles.table}>
            <Table
              label="Runs of workflows, newest first"
              columns={columnsOf(whyNot, (row) => void again(row.id, {}))}
              rows={rows}
              idOf={(row) => row.id}
              total={total}
              open={(row) => void navigate({ to: "/dags/$id", params: { id: row.id } })}
              more={more}
              chosen={chosen}
              choose={setChosen}
            />
          </div>
        </>
      )}
    </Page>
  );
}

function columnsOf(whyNot: string | null, again: (row: RunListed) => void): readonly Column<RunListed>[] {
  return [
    { name: "state", width: "136px", narrow: "96px", cell: (row) => <StateMark state={row.state} /> },
    {
      name: "name",
      width: "minmax(130px, 1.2fr)",
      narrow: "minmax(0, 1fr)",
      cell: (row) => (
        <>
          <Link to="/dags/$id" params={{ id: row.id }} tabIndex={-1}>
            <bdi>{row.name}</bdi>
          </Link>
          {row.kind === "mapreduce" && <span className="mute"> map-reduce</span>}
          {row.rerunOf !== null && <span className="mute"> again</span>}
        </>
      ),
    },
    { name: "steps", width: "minmax(150px, 1fr)", narrow: "76px", cell: (row) => <Steps row={row} /> },
    { name: "since", width: "110px", narrow: "84px", cell: (row) => ago(row.createdAt) },
    { name: "took", from: 700, width: "80px", cell: (row) => took(row) },
    { name: "by", from: 780, width: "minmax(70px, 0.5fr)", cell: (row) => <bdi>{row.owner}</bdi> },
    {
      name: "again",
      from: 620,
      width: "92px",
      cell: (row) =>
        isRunOver(row.state) && (
          <button
            type="button"
            className="link"
            tabIndex={-1}
            disabled={whyNot !== null}
            title={whyNot ?? undefined}
            onClick={() => again(row)}
          >
            run again<span className="unseen"> {row.name}</span>
          </button>
        ),
    },
  ];
}

function took(row: RunListed): string {
  return lasting((row.finishedAt === null ? serverNow() : Date.parse(row.finishedAt)) - Date.parse(row.createdAt));
}

function Steps({ row }: { row: RunListed }) {
  if (row.counts === null) return <span className="mono">{count(row.steps)}</span>;
  return (
    <span className={styles.steps} title={inWords(row.counts)}>
      <StateBar counts={row.counts} />
      <span className="mono">
        {count(doneOf(row.counts).done)}
        <span className="unseen"> over,</span> of {count(row.steps)}
      </span>
    </span>
  );
}

function NoRuns({ filtered }: { filtered: boolean }) {
  if (filtered) {
    return (
      <Empty title="No run is in this state.">
        <Link to="/dags">Show all runs</Link>
      </Empty>
    );
  }
  return (
    <Empty title="There are no workflows yet.">
      <p>
        A workflow is work in steps: each runs on one of your nodes once what it waits for is done, and is given their
        results. Draw one here, or write it down and run it: <span className="mono">anchor dag run FILE</span>
      </p>
      <Link to="/dags/new" className="button main">
        Build a workflow
      </Link>
    </Empty>
  );
}

function States({ chosen, choose }: { chosen: RunState | undefined; choose: (state: RunState | undefined) => void }) {
  const queue = useQueue().data?.dag;
  const counted: [RunState, number | undefined][] = [
    ["running", queue?.active],
    ["succeeded", queue?.completed],
    ["failed", queue?.failed],
    ["cancelled", queue?.cancelled],
  ];
  return (
    <Choices label="Show by state">
      {counted.map(([state, many]) => (
        <Choice key={state} chosen={chosen === state} choose={() => choose(chosen === state ? undefined : state)}>
          <StateMark state={state} /> <span className="mono">{many === undefined ? "…" : count(many)}</span>
        </Choice>
      ))}
    </Choices>
  );
}
