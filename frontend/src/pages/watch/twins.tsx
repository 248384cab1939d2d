/** The watch's pictures as tables: loaded when one is asked for. */
import { Link } from "@tanstack/react-router";
import type { Fleet, Mark } from "../../fleet/fleet";
import { useSlow } from "../../fleet/slow";
import { serverNow } from "../../live/pulse";
import { StateMark } from "../../ui/StateMark";
import { type Column, Table } from "../../ui/Table";
import { at, lasting } from "../../ui/words";
import type { Stream, Stretch } from "./stream";
import styles from "./Watch.module.css";

const LOOK_MS = 2000;
const STRETCHES_MAX = 500;

interface Sounding {
  id: string;
  site: string;
  mark: Mark;
  active: number;
  slots: number;
}

const NODES: readonly Column<Sounding>[] = [
  {
    name: "node",
    width: "minmax(120px, 1fr)",
    narrow: "minmax(0, 1fr)",
    cell: (one) => (
      <Link to="/nodes/$id" params={{ id: one.id }} className="mono">
        {one.id}
      </Link>
    ),
    by: (one) => one.id,
  },
  { name: "site", width: "140px", cell: (one) => <bdi>{one.site || "none"}</bdi>, by: (one) => one.site },
  {
    name: "state",
    width: "120px",
    narrow: "100px",
    cell: (one) => <StateMark state={one.mark} />,
    by: (one) => one.mark,
  },
  {
    name: "slots in use",
    width: "110px",
    narrow: "70px",
    cell: (one) => `${one.active} of ${one.slots}`,
    by: (one) => (one.slots > 0 ? one.active / one.slots : 0),
  },
];

export function FleetTable({ fleet, shape }: { fleet: Fleet; shape: number }) {
  const rows = useSlow(
    () =>
      fleet.ids.map((id, place) => ({
        id,
        site: fleet.facts[place]!.site,
        mark: fleet.markOf(place),
        active: fleet.active[place]!,
        slots: fleet.slots[place]!,
      })),
    LOOK_MS,
    shape,
  );
  return (
    <div className={styles.table}>
      <Table label="Nodes" columns={NODES} rows={rows} idOf={(one) => one.id} />
    </div>
  );
}

const STRETCHES: readonly Column<Stretch>[] = [
  {
    name: "task",
    width: "minmax(120px, 1fr)",
    narrow: "minmax(0, 1fr)",
    cell: (one) => (
      <Link to="/tasks/$id" params={{ id: one.task }}>
        <bdi>{one.name || one.task}</bdi>
      </Link>
    ),
    by: (one) => one.name,
  },
  { name: "node", width: "120px", cell: (one) => <span className="mono">{one.node}</span>, by: (one) => one.node },
  {
    name: "state",
    width: "140px",
    narrow: "96px",
    cell: (one) => <StateMark state={one.end} />,
    by: (one) => one.end,
  },
  { name: "began", width: "90px", cell: (one) => at(new Date(one.from).toISOString()), by: (one) => one.from },
  {
    name: "took",
    width: "80px",
    narrow: "64px",
    cell: (one) => lasting(Math.min(serverNow(), one.to) - one.from),
    by: (one) => Math.min(serverNow(), one.to) - one.from,
  },
];

/** `until` is where the picture stands still; null while it goes on. */
export function StreamTable({ stream, until }: { stream: Stream; until: number | null }) {
  const look = () => stream.within((until ?? serverNow()) - 60_000, until ?? Number.POSITIVE_INFINITY, STRETCHES_MAX);
  const rows = useSlow(look, LOOK_MS, until);
  return (
    <div className={styles.table}>
      <Table label="Tasks by node" columns={STRETCHES} rows={rows} idOf={(one) => `${one.task}-${one.from}`} />
    </div>
  );
}
