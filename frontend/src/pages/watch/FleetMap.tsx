/** The fleet as a chart: every node a sounding, by site; a table says the same. */
import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import type { Sounding } from "../../live/watch";
import { current } from "../../theme/theme";
import { Panel } from "../../ui/Panel";
import { StateMark } from "../../ui/StateMark";
import { type Column, Table } from "../../ui/Table";
import { count } from "../../ui/words";
import { bySite, summary } from "./sites";
import { drawSite, heightOf, indexAt, widthOf } from "./soundings";
import styles from "./Watch.module.css";

const MARKS = ["idle", "working", "failing", "draining", "lost", "blocked", "flagged"];
const SUMMARY_MS = 10_000;
const COLUMNS: readonly Column<Sounding>[] = [
  {
    name: "node",
    width: "minmax(120px, 1fr)",
    narrow: "minmax(0, 1fr)",
    cell: (one) => <span className="mono">{one.id}</span>,
    by: (one) => one.id,
  },
  { name: "site", width: "140px", cell: (one) => one.site || "none", by: (one) => one.site },
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
    by: (one) => one.load,
  },
];

export function FleetMap({ soundings }: { soundings: readonly Sounding[] }) {
  const [asTable, setAsTable] = useState(false);
  const said = useSlowly(summary(soundings));
  return (
    <Panel
      title={`Soundings, ${count(soundings.length)} ${soundings.length === 1 ? "node" : "nodes"}`}
      aside={
        <button type="button" className="link" onClick={() => setAsTable(!asTable)}>
          {asTable ? "show as a map" : "read as a table"}
        </button>
      }
    >
      <p className="unseen" aria-live="polite">
        {said}
      </p>
      {asTable ? (
        <div className={styles.table}>
          <Table label="Nodes" columns={COLUMNS} rows={soundings} idOf={(one) => one.id} />
        </div>
      ) : (
        <>
          <div className={styles.sites}>
            {bySite(soundings).map(([site, nodes]) => (
              <Site key={site} name={site} nodes={nodes} />
            ))}
          </div>
          <div className={styles.key}>
            {MARKS.filter(
              (mark) => ["idle", "working"].includes(mark) || soundings.some((one) => one.mark === mark),
            ).map((mark) => (
              <StateMark key={mark} state={mark} word={mark === "working" ? "working (darker is busier)" : mark} />
            ))}
          </div>
        </>
      )}
    </Panel>
  );
}

function Site({ name, nodes }: { name: string; nodes: readonly Sounding[] }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const theme = useSyncExternalStore(watchTheme, current);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another theme has other colours
  useEffect(() => {
    if (canvas.current !== null) drawSite(canvas.current, nodes);
  }, [nodes, theme]);
  const over = (event: React.MouseEvent<HTMLCanvasElement>) => {
    const { offsetX, offsetY } = event.nativeEvent;
    const node = nodes[indexAt(offsetX, offsetY, nodes.length)];
    event.currentTarget.title =
      node === undefined ? "" : `${node.id}: ${node.mark}, ${node.active} of ${node.slots} slots in use`;
  };
  return (
    <div className={styles.site}>
      <h3>
        {name || "No site named"} <span className="mono mute">{count(nodes.length)}</span>
      </h3>
      <canvas
        ref={canvas}
        width={widthOf(nodes.length)}
        height={heightOf(nodes.length)}
        role="img"
        aria-label={summary(nodes)}
        onMouseMove={over}
      />
    </div>
  );
}

function watchTheme(listener: () => void): () => void {
  window.addEventListener("anchor:theme", listener);
  return () => window.removeEventListener("anchor:theme", listener);
}

/** The text, no newer than ten seconds: it is read aloud. */
function useSlowly(text: string): string {
  const [said, setSaid] = useState(text);
  const newest = useRef(text);
  newest.current = text;
  useEffect(() => {
    const timer = setInterval(() => setSaid(newest.current), SUMMARY_MS);
    return () => clearInterval(timer);
  }, []);
  return said;
}
