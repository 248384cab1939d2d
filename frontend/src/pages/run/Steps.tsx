/** The steps of a run as rows, each with its bar on the run's line of time: the table and the Gantt chart in one. */
import { Link } from "@tanstack/react-router";
import { StateMark } from "../../ui/StateMark";
import { lookOf } from "../../ui/states";
import { type Column, Table } from "../../ui/Table";
import { lasting } from "../../ui/words";
import styles from "./Run.module.css";
import { barOf, type Row, sayingOf } from "./rows";

interface StepsProps {
  rows: readonly Row[];
  /** The ends of the line of time, in Unix milliseconds. */
  from: number;
  until: number;
  chosen: number;
  choose: (number: number) => void;
  open: (row: Row) => void;
}

export function Steps({ rows, from, until, chosen, choose, open }: StepsProps) {
  const columns: readonly Column<Row>[] = [
    {
      name: "step",
      width: "minmax(88px, 0.8fr)",
      narrow: "minmax(0, 1fr)",
      by: (row) => row.step.name,
      cell: (row) => <bdi>{row.step.name}</bdi>,
    },
    {
      name: "state",
      width: "minmax(104px, 0.7fr)",
      narrow: "104px",
      by: (row) => sayingOf(row.step).word,
      cell: (row) => <StateMark {...sayingOf(row.step)} />,
    },
    {
      name: "timeline",
      head: (
        <span className={styles.axis}>
          <span className="mono">0</span>
          <span>timeline</span>
          <span className="mono">{lasting(until - from)}</span>
        </span>
      ),
      width: "minmax(92px, 2fr)",
      narrow: "76px",
      cell: (row) => <Bar row={row} from={from} until={until} />,
    },
    {
      name: "took",
      width: "72px",
      by: (row) => tookMs(row, until) ?? -1,
      cell: (row) => {
        const ms = tookMs(row, until);
        return ms === null ? "" : lasting(ms);
      },
    },
    {
      name: "node",
      width: "minmax(96px, 0.5fr)",
      by: (row) => row.step.nodeId ?? "",
      cell: (row) =>
        row.step.nodeId !== null && (
          <Link to="/nodes/$id" params={{ id: row.step.nodeId }} tabIndex={-1} className="mono">
            {row.step.nodeId}
          </Link>
        ),
    },
    {
      name: "task",
      width: "56px",
      cell: (row) =>
        row.step.taskId !== null && (
          <Link to="/tasks/$id" params={{ id: row.step.taskId }} tabIndex={-1}>
            open<span className="unseen"> the task of {row.step.name}</span>
          </Link>
        ),
    },
  ];
  return (
    <Table
      label="Steps of the run"
      columns={columns}
      rows={rows}
      idOf={(row) => String(row.number)}
      chosen={chosen < 0 ? null : String(chosen)}
      choose={(id) => choose(Number(id))}
      open={open}
    />
  );
}

function tookMs({ step }: Row, until: number): number | null {
  if (step.startedAt === null) return null;
  return (step.finishedAt === null ? until : Date.parse(step.finishedAt)) - Date.parse(step.startedAt);
}

function Bar({ row, from, until }: { row: Row; from: number; until: number }) {
  const bar = barOf(row.step, from, until);
  return (
    <svg className={styles.bar} viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
      {bar !== null && (
        <rect
          x={Math.min(99.4, bar.begin * 100)}
          width={Math.max(0.6, bar.length * 100)}
          height="10"
          fill={`var(--${lookOf(sayingOf(row.step).state).tone})`}
        />
      )}
    </svg>
  );
}
