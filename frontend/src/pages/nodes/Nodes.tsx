/** The fleet, as a map and as a table: find nodes, see what they do and how far to trust them, act on many. */
import { createLazyRoute, Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useMemo, useState } from "react";
import { useMay } from "../../api/session";
import { FleetBars, FleetMap } from "../../fleet/FleetMap";
import { type By, GROUPINGS } from "../../fleet/fleet";
import { nameOf } from "../../fleet/groups";
import { useSlow } from "../../fleet/slow";
import { useFleet } from "../../fleet/source";
import { useKeys } from "../../keyboard/keys";
import { AsCurl } from "../../ui/AsCurl";
import { Choice, Choices } from "../../ui/Choices";
import { Page } from "../../ui/Page";
import { Empty, Failed, Loading } from "../../ui/Said";
import { StateMark } from "../../ui/StateMark";
import { Table } from "../../ui/Table";
import { NARROW, useMedia } from "../../ui/useMedia";
import { count } from "../../ui/words";
import { Bulk } from "./Bulk";
import { columnsOf } from "./columns";
import styles from "./Nodes.module.css";
import { useNodeList } from "./queries";
import { groupsIn, middleSpeed, type Row, rowsOf, tallyOf, type Wanted, wantedOf } from "./rows";

export const route = createLazyRoute("/nodes")({ component: Nodes });

const LOOK_MS = 1000;

function Nodes() {
  const { fleet, shape, known, error, again } = useFleet();
  const list = useNodeList();
  const mayAdd = useMay("operator");
  const version = useSlow(() => fleet.version, LOOK_MS, shape);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the fleet changes in place, its version says when
  const rows = useMemo(() => rowsOf(list.data ?? [], fleet), [list.data, fleet, version]);
  return (
    <Page title="Nodes" aside={<AsCurl path="/api/nodes" />} fill>
      {list.data === undefined && error !== null ? (
        <Failed what="nodes" error={error} again={() => void again()} />
      ) : list.data === undefined || !known ? (
        <Loading what="nodes" />
      ) : list.data.length === 0 ? (
        <Empty title="No machine has joined yet.">
          <p>
            Nodes are the machines that run your tasks and apps. One line makes a machine a node; it needs no root and
            no open port.
          </p>
          {mayAdd ? (
            <Link to="/nodes/add" className="button main">
              Add a node
            </Link>
          ) : (
            <p className="mute">Somebody with the role operator can add one.</p>
          )}
        </Empty>
      ) : (
        <Known rows={rows} fleet={fleet} shape={shape} />
      )}
    </Page>
  );
}

type KnownProps = Pick<ReturnType<typeof useFleet>, "fleet" | "shape"> & { rows: readonly Row[] };

function Known({ rows, fleet, shape }: KnownProps) {
  const navigate = useNavigate();
  const wanted: Wanted & { view?: string | undefined; select?: string | undefined } = useSearch({ from: "/nodes" });
  // What was selected elsewhere comes with the address.
  const [selected, setSelected] = useState<ReadonlySet<string>>(() => new Set(wanted.select?.split(",") ?? []));
  const narrow = useMedia(NARROW);
  const by: By = GROUPINGS.find((one) => one === wanted.by) ?? "site";
  const shown = useMemo(() => wantedOf(rows, wanted, by), [rows, wanted, by]);
  const columns = useMemo(() => {
    const middle = middleSpeed(rows.map((row) => row.node));
    return columnsOf(
      middle,
      rows.some((row) => row.alsoDrains),
    );
  }, [rows]);
  const set = (change: Partial<typeof wanted>) => {
    const next = Object.entries({ ...wanted, ...change }).filter(([, value]) => value !== undefined && value !== "");
    void navigate({ to: "/nodes", search: Object.fromEntries(next), replace: true });
  };
  const open = (id: string) => void navigate({ to: "/nodes/$id", params: { id } });
  const hasMap = wanted.view !== "table";
  useKeys([
    { keys: "m", says: "map, or table only", run: () => set({ view: hasMap ? "table" : undefined }) },
    { keys: "f", says: "find nodes", run: () => document.getElementById("find-nodes")?.focus() },
  ]);
  const isFiltered = wanted.find !== undefined || wanted.state !== undefined || wanted.in !== undefined;
  return (
    <>
      <Filters rows={rows} by={by} wanted={wanted} set={set} />
      {hasMap && (
        <div className={styles.map}>
          {narrow ? (
            <FleetBars fleet={fleet} shape={shape} by={by} />
          ) : (
            <FleetMap fleet={fleet} shape={shape} by={by} selected={selected} select={setSelected} open={open} />
          )}
        </div>
      )}
      <div className={styles.line}>
        <p className="mute">
          {isFiltered ? `${count(shown.length)} of ${count(rows.length)} nodes` : `${count(rows.length)} nodes`}
        </p>
        {shown.length > 0 && (
          <button
            type="button"
            className="link"
            onClick={() => setSelected(new Set(shown.map((row) => row.id)))}
          >{`Select all ${count(shown.length)}`}</button>
        )}
        {isFiltered && (
          <button
            type="button"
            className="link"
            onClick={() => set({ find: undefined, state: undefined, in: undefined })}
          >
            Show all nodes
          </button>
        )}
        <button type="button" className="link" onClick={() => set({ view: hasMap ? "table" : undefined })}>
          {hasMap ? "Table only" : "Show the map"}
        </button>
      </div>
      <Bulk rows={rows} selected={selected} select={setSelected} />
      {shown.length === 0 ? (
        <Empty title="No node is like this." />
      ) : (
        <div className={styles.table}>
          <Table
            label="Nodes"
            columns={columns}
            rows={shown}
            idOf={(row) => row.id}
            open={(row) => open(row.id)}
            selected={selected}
            select={setSelected}
          />
        </div>
      )}
    </>
  );
}

interface FiltersProps {
  rows: readonly Row[];
  by: By;
  wanted: Wanted;
  set: (change: Wanted) => void;
}

function Filters({ rows, by, wanted, set }: FiltersProps) {
  const [text, setText] = useState(wanted.find ?? "");
  useEffect(() => setText(wanted.find ?? ""), [wanted.find]);
  const states = tallyOf(rows);
  return (
    <div className={styles.filters}>
      <input
        id="find-nodes"
        type="search"
        className={`field ${styles.find}`}
        aria-label="Find nodes"
        placeholder="name, host, label, runtime, CPU"
        value={text}
        autoComplete="off"
        spellCheck={false}
        onChange={(event) => {
          setText(event.target.value);
          set({ find: event.target.value.trim() });
        }}
        onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
      />
      <label>
        group by{" "}
        <select className="field" value={by} onChange={(event) => set({ by: event.target.value, in: undefined })}>
          {GROUPINGS.map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      </label>
      <select
        className={`field ${styles.group}`}
        aria-label={`Only of one ${by}`}
        value={wanted.in === undefined ? "all" : `in ${wanted.in}`}
        onChange={(event) => set({ in: event.target.value === "all" ? undefined : event.target.value.slice(3) })}
      >
        <option value="all">{`every ${by}`}</option>
        {groupsIn(rows, by)
          .filter(([name]) => name !== "")
          .map(([name, many]) => (
            <option key={name} value={`in ${name}`}>
              {`${nameOf({ name, places: [] }, by)} (${count(many)})`}
            </option>
          ))}
      </select>
      <Choices label="Show by state">
        {states.map(([mark, many]) => (
          <Choice
            key={mark}
            chosen={wanted.state === mark}
            choose={() => set({ state: wanted.state === mark ? undefined : mark })}
          >
            <StateMark state={mark} /> <span className="mono">{count(many)}</span>
          </Choice>
        ))}
      </Choices>
    </div>
  );
}
