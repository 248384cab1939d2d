/** What the table of nodes says of each. */
import { Link } from "@tanstack/react-router";
import { StateMark } from "../../ui/StateMark";
import type { Column } from "../../ui/Table";
import { count } from "../../ui/words";
import { NodeState } from "./NodeState";
import { checkedOf, claimOf, heardOf, type Row, speedOf } from "./rows";

/** What the second word of a state needs. */
const ALSO_PX = 82;

/** The columns; `middle` is the speed in the middle of the fleet's. Where there is less room the less telling fold away. */
export function columnsOf(middle: number, someAlsoDrain: boolean): readonly Column<Row>[] {
  const more = someAlsoDrain ? ALSO_PX : 0;
  return [
    {
      name: "node",
      width: "112px",
      narrow: "minmax(0, 1fr)",
      cell: (row) => (
        <Link to="/nodes/$id" params={{ id: row.id }} className="mono" tabIndex={-1}>
          {row.id}
        </Link>
      ),
      by: (row) => row.id,
    },
    {
      name: "state",
      width: `${94 + more}px`,
      narrow: "96px",
      cell: (row) => <NodeState mark={row.mark} alsoDrains={row.alsoDrains} />,
      by: (row) => row.mark,
    },
    {
      name: "site",
      width: "minmax(68px, 0.6fr)",
      cell: (row) => <bdi>{row.group.site || "none"}</bdi>,
      by: (row) => row.group.site,
    },
    {
      name: "slots",
      width: "62px",
      narrow: "68px",
      cell: (row) => (row.mark === "lost" ? "" : `${row.active} of ${row.slots}`),
      by: (row) => row.active / Math.max(1, row.slots),
    },
    {
      name: "CPU",
      from: 440 + more,
      width: "62px",
      cell: (row) => (row.mark === "lost" ? "" : `${row.cpu} %`),
      by: (row) => row.cpu,
    },
    {
      name: "memory",
      from: 630 + more,
      width: "68px",
      cell: (row) => (row.mark === "lost" ? "" : `${Math.round(row.node.metrics.ramUsage ?? 0)} %`),
      by: (row) => row.node.metrics.ramUsage ?? 0,
    },
    {
      name: "says it has",
      from: 880 + more,
      width: "130px",
      cell: (row) => claimOf(row.node),
      by: (row) => row.node.specs.cores,
    },
    {
      name: "measured",
      from: 1000 + more,
      width: "118px",
      cell: (row) => (
        <span title="rounds of SHA-512 a second on one core, and against the fleet">{speedOf(row.node, middle)}</span>
      ),
      by: (row) => row.node.speed,
    },
    {
      name: "trust",
      from: 560 + more,
      width: "120px",
      cell: (row) => <Trust row={row} />,
      by: (row) => checkedOf(row.node).wrong,
    },
    {
      name: "labels",
      from: 1080 + more,
      width: "minmax(60px, 1fr)",
      cell: (row) => <bdi>{row.node.labels.filter((label) => !/^site[:=]/.test(label)).join(", ")}</bdi>,
    },
    {
      name: "owner",
      from: 1190 + more,
      width: "74px",
      cell: (row) => <bdi>{row.node.owner}</bdi>,
      by: (row) => row.node.owner,
    },
    {
      name: "agent",
      from: 1190 + more,
      width: "56px",
      cell: (row) => row.node.specs.version,
      by: (row) => row.node.specs.version,
    },
    {
      name: "heard",
      from: 750 + more,
      width: "124px",
      cell: (row) => heardOf(row.node, row.mark),
      by: (row) => row.node.seenAt ?? "",
    },
  ];
}

function Trust({ row }: { row: Row }) {
  const { right, wrong } = checkedOf(row.node);
  if (wrong > 0) return <StateMark state="flagged" word={`${count(wrong)} of ${count(wrong + right)} wrong`} />;
  return right > 0 ? <>{count(right)} right</> : <span className="mute">not checked yet</span>;
}
