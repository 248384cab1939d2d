/** The sheet a graph is drawn on: moved and zoomed by mouse, touch and buttons, never by itself. */
import { Background, type ReactFlowProps, useReactFlow } from "@xyflow/react";
import { Maximize2, Minus, Plus } from "lucide-react";
import "./flow.css";
import styles from "./Graph.module.css";

const ALL = { padding: 0.08, maxZoom: 1 };

/** What is the same for every graph of ours. */
export const SHEET = {
  fitView: true,
  // A graph that is far longer than the sheet opens in its middle, where it can be read.
  fitViewOptions: { ...ALL, minZoom: 0.2 },
  minZoom: 0.05,
  maxZoom: 1.6,
  nodesFocusable: false,
  edgesFocusable: false,
  panOnScroll: true,
  zoomOnDoubleClick: false,
  deleteKeyCode: null,
  selectionKeyCode: null,
  multiSelectionKeyCode: null,
  proOptions: { hideAttribution: true },
} as const satisfies Partial<ReactFlowProps>;

/** Buttons for whoever has no wheel, and the dots of the paper; to be put into a ReactFlow. */
export function Tools() {
  const flow = useReactFlow();
  return (
    <>
      <Background gap={20} size={1} />
      <div className={styles.tools}>
        <button type="button" className={styles.tool} aria-label="Smaller" onClick={() => void flow.zoomOut()}>
          <Minus size={14} aria-hidden="true" />
        </button>
        <button type="button" className={styles.tool} aria-label="Larger" onClick={() => void flow.zoomIn()}>
          <Plus size={14} aria-hidden="true" />
        </button>
        <button
          type="button"
          className={styles.tool}
          aria-label="Show all of it"
          onClick={() => void flow.fitView(ALL)}
        >
          <Maximize2 size={14} aria-hidden="true" />
        </button>
      </div>
    </>
  );
}
