/** The fleet on the watch: a map, bars on narrow screens, or a table; what is selected opens in Nodes. */
import { Link, useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";
import { FleetBars, FleetMap } from "../../fleet/FleetMap";
import { type By, GROUPINGS } from "../../fleet/fleet";
import { useFleet } from "../../fleet/source";
import { Panel } from "../../ui/Panel";
import { Empty, Failed, Loading } from "../../ui/Said";
import { useMedia } from "../../ui/useMedia";
import { many } from "../../ui/words";
import styles from "./Watch.module.css";

const NARROW = "(max-width: 600px)";
const FleetTable = lazy(() => import("./twins").then((twins) => ({ default: twins.FleetTable })));

export function Soundings({ by, group }: { by: By; group: (by: By) => void }) {
  const { fleet, shape, known, error, again } = useFleet();
  const [asTable, setAsTable] = useState(false);
  const [selected, select] = useState<ReadonlySet<string>>(new Set());
  const isNarrow = useMedia(NARROW);
  const navigate = useNavigate();
  if (!known && error !== null) {
    return (
      <Panel title="Soundings">
        <Failed what="nodes" error={error} again={() => void again()} />
      </Panel>
    );
  }
  if (!known || fleet.size === 0) {
    return (
      <Panel title="Soundings">
        {known ? (
          <Empty title="There are no nodes yet.">
            <p>A node is a computer that runs your tasks: this one, or any other you have.</p>
            <p className={styles.steps}>
              <Link to="/nodes/add" className="button main">
                Add a node
              </Link>
              <span>
                then <Link to="/tasks/new">run a task</Link>
              </span>
            </p>
          </Empty>
        ) : (
          <Loading what="nodes" />
        )}
      </Panel>
    );
  }
  return (
    <Panel
      title={`Soundings, ${many(fleet.size, "node")}`}
      aside={
        <span className={styles.tools}>
          <fieldset className={styles.choice}>
            <legend>group by</legend>
            {GROUPINGS.map((one) => (
              <button key={one} type="button" className="link" aria-pressed={by === one} onClick={() => group(one)}>
                {one}
              </button>
            ))}
          </fieldset>
          <button type="button" className="link" onClick={() => setAsTable(!asTable)}>
            {asTable ? "show as a map" : "read as a table"}
          </button>
        </span>
      }
    >
      {asTable ? (
        <Suspense fallback={<Loading what="the table" />}>
          <FleetTable fleet={fleet} shape={shape} />
        </Suspense>
      ) : isNarrow ? (
        <FleetBars fleet={fleet} shape={shape} by={by} />
      ) : (
        <FleetMap
          fleet={fleet}
          shape={shape}
          by={by}
          selected={selected}
          select={select}
          open={(id) => void navigate({ to: "/nodes/$id", params: { id } })}
        />
      )}
      {selected.size > 0 && (
        <p className={styles.selection} role="status">
          <span>{many(selected.size, "node")} selected</span>
          <Link to="/nodes" search={{ select: [...selected].join(",") }}>
            Open in Nodes
          </Link>
          <button type="button" className="link" onClick={() => select(new Set())}>
            Clear
          </button>
        </p>
      )}
    </Panel>
  );
}
