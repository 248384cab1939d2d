/** Verification: who answered otherwise than was agreed on, what was judged of it, and whose answers are in doubt. */
import { createLazyRoute, Link, useNavigate, useSearch } from "@tanstack/react-router";
import type { CaseRow } from "../../api/client";
import { AsCurl } from "../../ui/AsCurl";
import { Choice, Choices } from "../../ui/Choices";
import looks from "../../ui/looks.module.css";
import { Page } from "../../ui/Page";
import { Panel } from "../../ui/Panel";
import { Empty, Failed, Loading } from "../../ui/Said";
import { StateMark } from "../../ui/StateMark";
import { type Column, Table } from "../../ui/Table";
import { ago, count } from "../../ui/words";
import { useCases, useNodesOf } from "./queries";
import { caseMark, nodeMark, SHOWN, type Shown } from "./states";
import styles from "./Verification.module.css";

export const route = createLazyRoute("/cases")({ component: Verification });

const COLUMNS: readonly Column<CaseRow>[] = [
  {
    name: "case",
    width: "124px",
    narrow: "116px",
    by: (row) => row.state,
    cell: (row) => <StateMark {...caseMark(row.state)} />,
  },
  {
    name: "task",
    width: "minmax(110px, 1fr)",
    narrow: "minmax(0, 1fr)",
    by: (row) => row.taskName || row.taskId,
    cell: (row) => (
      <Link to="/cases/$id" params={{ id: row.id }} tabIndex={-1}>
        <bdi>{row.taskName || row.taskId}</bdi>
      </Link>
    ),
  },
  {
    name: "who differs",
    width: "minmax(120px, 1fr)",
    by: (row) => row.dissenters.join(),
    cell: (row) => <span className="mono">{row.dissenters.join(", ")}</span>,
  },
  { name: "where", from: 580, width: "minmax(120px, 1.6fr)", cell: (row) => <bdi>{row.differs}</bdi> },
  { name: "runtime", from: 660, width: "80px", by: (row) => row.runtime, cell: (row) => row.runtime },
  { name: "opened", width: "96px", narrow: "84px", by: (row) => row.openedAt, cell: (row) => ago(row.openedAt) },
];

function Verification() {
  const navigate = useNavigate();
  const search: Record<string, string | undefined> = useSearch({ from: "/cases" });
  const shown = SHOWN.find((one) => one === search.show) ?? "open";
  const node = search.node;
  const cases = useCases();
  const all = cases.data ?? [];
  const ofNode = node === undefined ? all : all.filter((row) => row.dissenters.includes(node));
  const rows = ofNode.filter((row) => fits(row, shown));
  const go = (next: { show?: Shown; node?: string | undefined }) => {
    const wanted = { show: shown, node, ...next };
    void navigate({
      to: "/cases",
      search: {
        ...(wanted.show === "open" ? {} : { show: wanted.show }),
        ...(wanted.node === undefined ? {} : { node: wanted.node }),
      },
    });
  };
  return (
    <Page title="Verification" aside={<AsCurl path="/api/verification/cases" />} fill>
      {cases.isPending ? (
        <Loading what="cases" />
      ) : cases.isError && all.length === 0 ? (
        <Failed what="cases" error={cases.error} again={() => void cases.refetch()} />
      ) : all.length === 0 ? (
        <NoCases />
      ) : (
        <>
          <Choices label="Show">
            {SHOWN.map((one) => (
              <Choice key={one} chosen={one === shown} choose={() => go({ show: one })}>
                {one} <span className="mono">{count(ofNode.filter((row) => fits(row, one)).length)}</span>
              </Choice>
            ))}
            {node !== undefined && (
              <span>
                Only of <b className="mono">{node}</b>.{" "}
                <button type="button" className="link" onClick={() => go({ node: undefined })}>
                  Show all
                </button>
              </span>
            )}
          </Choices>
          {rows.length === 0 ? (
            <Empty title={EMPTY[shown]}>
              <button type="button" className="link" onClick={() => go({ show: "all", node: undefined })}>
                Show all cases
              </button>
            </Empty>
          ) : (
            <div className={styles.table} style={{ "--rows": rows.length + 1 } as React.CSSProperties}>
              <Table
                label="Cases, newest first"
                columns={COLUMNS}
                rows={rows}
                idOf={(row) => row.id}
                open={(row) => void navigate({ to: "/cases/$id", params: { id: row.id } })}
              />
            </div>
          )}
          <Flagged cases={all} choose={(id) => go({ show: "all", node: id })} />
          <Receipts />
        </>
      )}
    </Page>
  );
}

const EMPTY: Record<Shown, string> = {
  open: "No case waits to be judged.",
  judged: "No case has been judged yet.",
  all: "No case is about this node.",
};

function fits(row: CaseRow, shown: Shown): boolean {
  return shown === "all" || (row.state === "open") === (shown === "open");
}

/** What the cases say of each node in them, the one with the most open ones first. */
export function flagsOf(cases: readonly CaseRow[]): { id: string; open: number; judged: number }[] {
  const found = new Map<string, { id: string; open: number; judged: number }>();
  for (const row of cases) {
    for (const id of row.dissenters) {
      const one = found.get(id) ?? { id, open: 0, judged: 0 };
      found.set(id, row.state === "open" ? { ...one, open: one.open + 1 } : { ...one, judged: one.judged + 1 });
    }
  }
  return [...found.values()].sort((one, other) => other.open - one.open || other.judged - one.judged);
}

interface FlaggedProps {
  cases: readonly CaseRow[];
  choose: (id: string) => void;
}

const FLAGGED_SHOWN = 20;

function Flagged({ cases, choose }: FlaggedProps) {
  const flags = flagsOf(cases).slice(0, FLAGGED_SHOWN);
  const byId = useNodesOf(flags.map((one) => one.id));
  return (
    <Panel title="Nodes that differed" aside="three open cases within 30 days quarantine a node">
      <div className={looks.wide}>
        <table className={looks.table}>
          <thead>
            <tr>
              <th scope="col">node</th>
              <th scope="col" className={looks.folds}>
                owner
              </th>
              <th scope="col">now</th>
              <th scope="col">open cases</th>
              <th scope="col">judged</th>
            </tr>
          </thead>
          <tbody>
            {flags.map((one) => {
              const node = byId.get(one.id);
              return (
                <tr key={one.id}>
                  <th scope="row">
                    <button type="button" className="link mono" onClick={() => choose(one.id)}>
                      {one.id}
                    </button>
                  </th>
                  <td className={looks.folds}>
                    <bdi>{node?.owner ?? ""}</bdi>
                  </td>
                  <td>
                    <StateMark {...nodeMark(node?.status ?? "gone")} />
                  </td>
                  <td className={one.open > 0 ? styles.flags : ""}>{one.open}</td>
                  <td>{one.judged}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

function Receipts() {
  return (
    <p className="mute">
      Every finished task has a receipt, with which anybody can check its answers and signatures without this server:{" "}
      <span className="mono">anchor task receipt TASK</span>, then <span className="mono">anchor verify</span>.
    </p>
  );
}

function NoCases() {
  return (
    <Empty title="Nobody has contradicted what was agreed on.">
      <p>
        Verification runs copies of a task on machines of other owners and compares what they answer. Where most agree,
        that is the result; whoever answered otherwise becomes a case, to be judged here.
      </p>
      <p>Ask for it where a task is run:</p>
      <p className="mono">anchor run script.js --verify quorum --copies 3</p>
      <p>
        Or <Link to="/tasks/new">run a task</Link> and have it checked on 3 nodes.
      </p>
      <Receipts />
    </Empty>
  );
}
