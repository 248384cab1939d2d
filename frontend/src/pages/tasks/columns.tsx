/** What is shown of a task in the list. */
import { Link } from "@tanstack/react-router";
import type { TaskRow } from "../../api/client";
import { serverNow } from "../../live/pulse";
import { StateMark } from "../../ui/StateMark";
import type { Column } from "../../ui/Table";
import { ago, lasting } from "../../ui/words";

export const COLUMNS: readonly Column<TaskRow>[] = [
  { name: "state", width: "150px", narrow: "112px", cell: (row) => <StateMark state={row.state} /> },
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
  { name: "id", from: 620, width: "160px", cell: (row) => <span className="mono">{row.id}</span> },
  {
    name: "labels",
    from: 1040,
    width: "minmax(0, 0.5fr)",
    cell: (row) => <bdi className="mute">{row.labels.join(", ")}</bdi>,
  },
  { name: "runtime", from: 720, width: "80px", cell: (row) => row.runtime },
  { name: "node", from: 860, width: "120px", cell: (row) => <span className="mono">{row.nodeId ?? ""}</span> },
  { name: "attempt", from: 960, width: "70px", cell: (row) => row.attempt || "" },
  { name: "took", from: 500, width: "80px", cell: (row) => took(row) },
  { name: "submitted", width: "110px", narrow: "92px", cell: (row) => ago(row.createdAt) },
];

function took(row: TaskRow): string {
  if (row.startedAt === null) return "";
  return lasting((row.finishedAt === null ? serverNow() : Date.parse(row.finishedAt)) - Date.parse(row.startedAt));
}
