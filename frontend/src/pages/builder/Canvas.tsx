/** The sheet a workflow is drawn on: boxes are put and connected by mouse, and walked between by arrows. */
import {
  applyNodeChanges,
  type Edge,
  Handle,
  type Node,
  type NodeProps,
  Position,
  ReactFlow,
  ReactFlowProvider,
  useReactFlow,
} from "@xyflow/react";
import { memo, useEffect, useMemo, useRef, useState } from "react";
import { BOX } from "../../graph/fold";
import graphStyles from "../../graph/Graph.module.css";
import { nearest } from "../../graph/nearest";
import { useReveal } from "../../graph/useReveal";
import { SHEET, Tools } from "../../graph/View";
import styles from "./Builder.module.css";
import { type GraphDraft, type Place, type Places, waitsFor } from "./draft";
import { saysOf } from "./kinds";
import { allPlaces, freeSpot } from "./places";

interface BoxData extends Record<string, unknown> {
  at: number;
  name: string;
  says: string;
  faulty: boolean;
  chosen: boolean;
  reached: boolean;
  /** Another number: take the focus. */
  focus: number;
  editable: boolean;
}
type BoxNode = Node<BoxData, "box">;

export interface Focus {
  at: number;
  turn: number;
}

interface CanvasProps {
  graph: GraphDraft;
  places: Places;
  /** Numbers of the steps with something wrong. */
  faulty: ReadonlySet<number>;
  chosen: number;
  /** The box that is to have the focus; whenever the turn grows. */
  focus: Focus;
  /** Grows whenever all of it is to be brought into sight. */
  fit: number;
  choose: (at: number) => void;
  line: { from: string; to: string } | null;
  chooseLine: (line: { from: string; to: string } | null) => void;
  move: (places: Places) => void;
  connect: (from: string, to: string) => void;
  /** A new step here, waiting for `after` where that is said. */
  add: (place: Place, after?: string) => void;
  edit: (at: number) => void;
  editable: boolean;
}

export function Canvas(props: CanvasProps) {
  return (
    <ReactFlowProvider>
      <Inner {...props} />
    </ReactFlowProvider>
  );
}

function Inner(props: CanvasProps) {
  const { graph, places, faulty, chosen, focus, fit, editable, line } = props;
  const sheet = useRef<HTMLDivElement>(null);
  const flow = useReactFlow();
  const reveal = useReveal(sheet);
  const spots = useMemo(() => allPlaces(graph, places), [graph, places]);
  const given = useMemo(
    () =>
      graph.steps.map(
        (step, at): BoxNode => ({
          id: String(at),
          type: "box",
          position: spots[at]!,
          ...BOX,
          data: {
            at,
            name: step.id,
            says: saysOf(step),
            faulty: faulty.has(at),
            chosen: at === chosen,
            reached: at === Math.max(0, chosen),
            focus: at === focus.at ? focus.turn : 0,
            editable,
          },
        }),
      ),
    [graph, spots, faulty, chosen, focus, editable],
  );
  // While a box is dragged it is here that it moves; what came of it is told at the end.
  const [nodes, setNodes] = useState(given);
  useEffect(() => setNodes(given), [given]);
  const edges = useMemo(() => edgesOf(graph, line), [graph, line]);
  useEffect(() => {
    const place = spots[chosen];
    if (place !== undefined) reveal(place);
  }, [chosen, spots, reveal]);

  useEffect(() => {
    if (fit === 0) return;
    // What is to be fitted is on the sheet a frame from now.
    const frame = requestAnimationFrame(() => void flow.fitView(SHEET.fitViewOptions));
    return () => cancelAnimationFrame(frame);
  }, [fit, flow]);

  const name = (id: string | null) => graph.steps[Number(id)]?.id;
  const at = (event: { clientX: number; clientY: number }) => {
    const spot = flow.screenToFlowPosition({ x: event.clientX, y: event.clientY });
    return freeSpot({ x: spot.x - BOX.width / 2, y: spot.y - BOX.height / 2 }, spots);
  };
  const pressed = (event: React.KeyboardEvent) => {
    const here = event.target instanceof HTMLElement ? event.target.dataset.box : undefined;
    if (here === undefined || !event.key.startsWith("Arrow")) return;
    event.preventDefault();
    const next = nearest(spots, Number(here), event.key);
    if (next === null) return;
    // At once, so that the next arrow goes on from there however late the sheet is drawn.
    sheet.current?.querySelector<HTMLElement>(`[data-box="${next}"]`)?.focus({ preventScroll: true });
    props.choose(next);
  };
  return (
    <div
      ref={sheet}
      className={graphStyles.graph}
      role="group"
      aria-label="Steps of the workflow"
      onKeyDown={pressed}
      onDoubleClick={(event) => {
        if (editable && event.target instanceof Element && event.target.classList.contains("react-flow__pane")) {
          props.add(at(event));
        }
      }}
    >
      <ReactFlow
        {...SHEET}
        nodes={nodes}
        edges={edges}
        nodeTypes={NODE_TYPES}
        nodesDraggable={editable}
        nodesConnectable={editable}
        elementsSelectable={editable}
        connectionRadius={30}
        onNodesChange={(changes) => setNodes((before) => applyNodeChanges(changes, before))}
        onNodeDragStop={(_, node) => props.move({ ...places, [node.data.name]: node.position })}
        onNodeClick={(_, node) => props.choose(node.data.at)}
        onNodeDoubleClick={(_, node) => editable && props.edit(node.data.at)}
        onEdgeClick={(_, edge) => props.chooseLine({ from: name(edge.source)!, to: name(edge.target)! })}
        onPaneClick={() => props.chooseLine(null)}
        isValidConnection={({ source, target }) => source !== target}
        onConnect={({ source, target }) => props.connect(name(source)!, name(target)!)}
        onConnectEnd={(event, { fromNode, isValid, toNode }) => {
          // Let go over free paper: a new step there.
          if (isValid || toNode !== null || fromNode === null || !("clientX" in event)) return;
          props.add(at(event), name(fromNode.id));
        }}
        aria-label="Drawing of the workflow; the JSON beside it says the same"
      >
        <Tools />
      </ReactFlow>
    </div>
  );
}

function edgesOf(graph: GraphDraft, line: { from: string; to: string } | null): Edge[] {
  const number = new Map(graph.steps.map((step, at) => [step.id, at]));
  return graph.steps.flatMap((step, to) =>
    [...new Set(waitsFor(step))].flatMap((name): Edge[] => {
      const from = number.get(name);
      if (from === undefined) return [];
      const selected = line?.from === name && line.to === step.id;
      const soft = step.softDependencies?.includes(name);
      return [
        {
          id: `${from}-${to}`,
          source: String(from),
          target: String(to),
          selected,
          ...(soft && { style: { strokeDasharray: "2 4" } }),
        },
      ];
    }),
  );
}

const BoxView = memo(function BoxView({ data }: NodeProps<BoxNode>) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (data.focus > 0) box.current?.focus({ preventScroll: true });
  }, [data.focus]);
  const classes = [graphStyles.box, data.faulty && graphStyles.bad, data.chosen && graphStyles.chosen];
  return (
    <>
      <Handle type="target" position={Position.Left} className={styles.handle} isConnectable={data.editable} />
      <div
        ref={box}
        role="button"
        data-box={data.at}
        className={classes.filter(Boolean).join(" ")}
        tabIndex={data.reached ? 0 : -1}
        aria-pressed={data.chosen}
        title={data.name}
      >
        <bdi className={graphStyles.name}>{data.name}</bdi>
        <span className={graphStyles.state}>{data.says}</span>
        {data.faulty && <span className="unseen">, something is wrong with it</span>}
      </div>
      <Handle type="source" position={Position.Right} className={styles.handle} isConnectable={data.editable} />
    </>
  );
});
const NODE_TYPES = { box: BoxView };
