/** The items of a parallel step: how many are in which state, and each of them with why, of any number. */
import { Link, useNavigate } from "@tanstack/react-router";
import { ArrowLeft } from "lucide-react";
import { useCallback, useState } from "react";
import { inOrder } from "../../graph/StateBar";
import { serverNow } from "../../live/pulse";
import { AsCurl } from "../../ui/AsCurl";
import { Choice } from "../../ui/Choices";
import { Empty, Failed, Loading } from "../../ui/Said";
import { SparseTable } from "../../ui/SparseTable";
import { StateMark } from "../../ui/StateMark";
import type { Column } from "../../ui/Table";
import { count, lasting } from "../../ui/words";
import type { Again, StepView } from "../workflows/queries";
import {
  failedOf,
  type ItemState,
  type ItemView,
  type Of,
  sayingOfItem,
  useItemCounts,
  useItems,
  wordOfItems,
} from "./items";
import styles from "./Run.module.css";

const COLUMNS: readonly Column<ItemView>[] = [
  {
    name: "item",
    width: "72px",
    narrow: "60px",
    cell: (row) => (row.taskId === null ? <span className="mono mute">{row.number}</span> : <ToTask row={row} />),
  },
  { name: "state", width: "150px", narrow: "112px", cell: (row) => <StateMark {...sayingOfItem(row)} /> },
  {
    name: "why",
    width: "minmax(90px, 1fr)",
    narrow: "minmax(0, 1fr)",
    cell: (row) => row.reason !== null && <bdi title={row.reason.hint}>{row.reason.message}</bdi>,
  },
  { name: "took", from: 560, width: "72px", cell: took },
  { name: "attempt", from: 640, width: "70px", cell: (row) => row.attempt || "" },
  {
    name: "node",
    from: 480,
    width: "112px",
    cell: (row) =>
      row.nodeId !== null && (
        <Link to="/nodes/$id" params={{ id: row.nodeId }} tabIndex={-1} className="mono">
          {row.nodeId}
        </Link>
      ),
  },
];

function ToTask({ row }: { row: ItemView }) {
  return (
    <Link to="/tasks/$id" params={{ id: row.taskId! }} tabIndex={-1} className="mono">
      <span className="unseen">the task of item </span>
      {row.number}
    </Link>
  );
}

function took(row: ItemView): string {
  if (row.startedAt === null) return "";
  return lasting((row.finishedAt === null ? serverNow() : Date.parse(row.finishedAt)) - Date.parse(row.startedAt));
}

interface ItemsProps {
  of: Of;
  step: StepView;
  state: ItemState | undefined;
  choose: (state: ItemState | undefined) => void;
  close: () => void;
  /** Runs part of the run again; null while it is not over. */
  again: ((what: Again) => void) | null;
  whyNot: string | null;
}

export function Items({ of, step, state, choose, close, again, whyNot }: ItemsProps) {
  const counted = useItemCounts(of);
  const counts = counted.data?.counts ?? {};
  const failed = failedOf(counts);
  const states = inOrder(counts);
  // What is chosen can be let go of, also when there is none left.
  if (state !== undefined && !counts[state]) states.push([state, 0]);
  const path = `/api/dags/${of.run}/items?${new URLSearchParams({ step: step.id, ...(state && { state }) })}`;
  return (
    <>
      <div className={styles.bench} role="toolbar" aria-label="Show of the items">
        <button type="button" className="button" onClick={close}>
          <ArrowLeft size={14} aria-hidden="true" /> All steps
        </button>
        <h2 className={styles.itemsTitle}>
          Items of <bdi>{step.name}</bdi>
        </h2>
        <Choice chosen={state === undefined} choose={() => choose(undefined)}>
          all <span className="mono">{counted.data === undefined ? "…" : count(counted.data.total)}</span>
        </Choice>
        {states.map(([one, many]) => (
          <Choice
            key={one}
            state={one}
            chosen={state === one}
            choose={() => choose(state === one ? undefined : (one as ItemState))}
          >
            <StateMark state={one} word={wordOfItems(one)} /> <span className="mono">{count(many)}</span>
          </Choice>
        ))}
        <span className={styles.space} />
        {again !== null && failed > 0 && (
          <button
            type="button"
            className="button main"
            disabled={whyNot !== null}
            title={whyNot ?? undefined}
            onClick={() => again({ failedItems: step.id })}
          >
            Run the {count(failed)} that did not succeed again
          </button>
        )}
        <AsCurl path={path} />
      </div>
      {counted.data === undefined ? (
        counted.error === null ? (
          <Loading what="the items" />
        ) : (
          <Failed what="the items" error={counted.error} again={() => void counted.refetch()} />
        )
      ) : (
        <Rows
          key={state}
          of={of}
          state={state}
          many={state === undefined ? counted.data.total : (counts[state] ?? 0)}
        />
      )}
    </>
  );
}

function Rows({ of, state, many }: { of: Of; state: ItemState | undefined; many: number }) {
  const navigate = useNavigate();
  const [sight, setSight] = useState({ first: 0, last: 0 });
  const seen = useCallback((first: number, last: number) => setSight({ first, last }), []);
  const rows = useItems(of, state, sight.first, sight.last);
  if (many === 0) return <Empty title={`No item is ${wordOfItems(state ?? "")} now.`} />;
  if (rows.error !== null) return <Failed what="the items" error={rows.error} again={rows.again} />;
  return (
    <div className={styles.table}>
      <SparseTable
        label="Items of the step"
        columns={COLUMNS}
        count={many}
        rowAt={rows.row}
        idOf={(row) => String(row.number)}
        nameOf={(row) => `item ${row.number}`}
        place={TOP}
        left={NOTHING}
        seen={seen}
        open={(row) => row.taskId !== null && void navigate({ to: "/tasks/$id", params: { id: row.taskId } })}
        selected={NONE}
        between={NOBODY}
      />
    </div>
  );
}

const TOP = { chosen: -1, scrolled: 0 };
const NONE: ReadonlySet<string> = new Set();
const NOTHING = () => {};
const NOBODY = async () => [];
