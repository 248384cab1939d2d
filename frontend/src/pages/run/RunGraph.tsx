/** The graph of a run: a box for each step or group, coloured as they go; arrows lead from box to box. */
import { type Node, type NodeProps, ReactFlow, ReactFlowProvider, ViewportPortal } from "@xyflow/react";
import { memo, useEffect, useMemo, useRef } from "react";
import { BOX, type Box } from "../../graph/fold";
import styles from "../../graph/Graph.module.css";
import type { Drawing } from "../../graph/layout";
import { nearest } from "../../graph/nearest";
import { type Counts, doneOf, inWords, StateBar } from "../../graph/StateBar";
import { useReveal } from "../../graph/useReveal";
import { SHEET, Tools } from "../../graph/View";
import { StateMark } from "../../ui/StateMark";
import type { Tone } from "../../ui/states";
import { count } from "../../ui/words";
import type { StepView } from "../workflows/queries";
import { countsOf, sayingOf, toneOf } from "./rows";

interface BoxData extends Record<string, unknown> {
  at: number;
  name: string;
  tone: Tone;
  /** The state and words of a single step; of several, their counts. */
  state: string;
  word: string;
  counts: Counts | null;
  chosen: boolean;
  reached: boolean;
}
type BoxNode = Node<BoxData, "box">;

interface RunGraphProps {
  drawing: Drawing;
  steps: readonly StepView[];
  /** The number of the chosen step, and the box of the group that is shown in the table; -1 where there is none. */
  step: number;
  group: number;
  chooseStep: (number: number) => void;
  chooseGroup: (box: number) => void;
}

export function RunGraph(props: RunGraphProps) {
  return (
    <ReactFlowProvider>
      <Inner {...props} />
    </ReactFlowProvider>
  );
}

function Inner({ drawing, steps, step, group, chooseStep, chooseGroup }: RunGraphProps) {
  const sheet = useRef<HTMLDivElement>(null);
  const reveal = useReveal(sheet);
  const counts = useMemo(() => drawing.boxes.map((box) => countsOf(steps, box.members)), [drawing, steps]);
  const tones = useMemo(() => counts.map(toneOf), [counts]);
  const inBox = step < 0 ? -1 : drawing.boxes.findIndex((box) => box.members.includes(step));
  const chosen = inBox >= 0 ? inBox : group;
  const nodes = useMemo(
    () =>
      drawing.boxes.map((box, at): BoxNode => {
        const one = box.kind === "step" ? steps[box.members[0]!] : undefined;
        const said = one === undefined ? { state: "", word: "" } : sayingOf(one);
        return {
          id: String(at),
          type: "box",
          position: drawing.places[at]!,
          ...BOX,
          data: {
            at,
            name: nameOf(box, steps),
            tone: tones[at]!,
            ...said,
            counts: one === undefined ? counts[at]! : null,
            chosen: at === chosen,
            reached: at === Math.max(0, chosen),
          },
        };
      }),
    [drawing, steps, counts, tones, chosen],
  );
  useEffect(() => {
    if (chosen >= 0) reveal(drawing.places[chosen]!);
  }, [chosen, drawing, reveal]);

  const choose = (at: number) => {
    const box = drawing.boxes[at]!;
    if (box.kind === "step") chooseStep(box.members[0]!);
    else chooseGroup(at);
  };
  const pressed = (event: React.KeyboardEvent) => {
    const here = event.target instanceof HTMLElement ? event.target.dataset.box : undefined;
    if (here === undefined) return;
    const next = nearest(drawing.places, Number(here), event.key);
    if (event.key.startsWith("Arrow")) event.preventDefault();
    if (next === null) return;
    sheet.current?.querySelector<HTMLElement>(`[data-box="${next}"]`)?.focus({ preventScroll: true });
    reveal(drawing.places[next]!);
    if (drawing.boxes[next]!.kind === "step") choose(next);
  };
  return (
    <div ref={sheet} className={styles.graph} role="group" aria-label="Graph" onKeyDown={pressed}>
      <ReactFlow
        {...SHEET}
        nodes={nodes}
        nodeTypes={NODE_TYPES}
        nodesDraggable={false}
        nodesConnectable={false}
        elementsSelectable={false}
        onNodeClick={(_, node) => choose(node.data.at)}
        aria-label="Graph of the run; the table beside it says the same"
      >
        <Lines drawing={drawing} tones={tones} chosen={chosen} />
        <Tools />
      </ReactFlow>
    </div>
  );
}

const BoxView = memo(function BoxView({ data }: NodeProps<BoxNode>) {
  const classes = [styles.box, styles[data.tone], data.chosen && styles.chosen, data.counts && styles.many];
  const done = data.counts && doneOf(data.counts);
  return (
    <button
      type="button"
      data-box={data.at}
      className={classes.filter(Boolean).join(" ")}
      tabIndex={data.reached ? 0 : -1}
      aria-pressed={data.chosen}
      title={data.counts ? inWords(data.counts) : data.name}
    >
      <bdi className={styles.name}>{data.name}</bdi>
      {done ? (
        <span className={styles.state}>
          <StateBar counts={data.counts!} />
          {count(done.done)} of {count(done.all)} over
        </span>
      ) : (
        <span className={styles.state}>
          <StateMark state={data.state} word={data.word} />
        </span>
      )}
    </button>
  );
});
const NODE_TYPES = { box: BoxView };

/** What a box is called. */
export function nameOf(box: Box, steps: readonly StepView[]): string {
  const name = (at: number) => steps[at]?.name ?? "";
  if (box.kind === "step") return name(box.members[0]!);
  if (box.kind === "alike") return `${name(box.members[0]!)} … ${name(box.members.at(-1)!)}`;
  return box.first === box.last ? `level ${box.first + 1}` : `levels ${box.first + 1} to ${box.last + 1}`;
}

/** All lines as a few paths: a thousand elements of their own would be slow to draw. */
function Lines({ drawing, tones, chosen }: { drawing: Drawing; tones: readonly Tone[]; chosen: number }) {
  const paths = useMemo(() => {
    const byLook = new Map<string, string[]>();
    for (const [at, line] of drawing.lines.entries()) {
      const look = `${tones[line.from]} ${line.soft ? "soft" : tones[line.from] === "deep" ? "moving" : ""}`;
      const path = pathOf(drawing, at);
      const known = byLook.get(look);
      if (known === undefined) byLook.set(look, [path]);
      else known.push(path);
    }
    return [...byLook];
  }, [drawing, tones]);
  const near = [...drawing.lines.entries()].filter(([, line]) => line.from === chosen || line.to === chosen);
  return (
    <ViewportPortal>
      <svg className={styles.lines} aria-hidden="true">
        {paths.map(([look, all]) => {
          const [tone, course] = look.split(" ");
          return (
            <path
              key={look}
              d={all.join("")}
              className={course === "" ? undefined : styles[course!]}
              style={tone === "mute" ? undefined : { stroke: `var(--${tone})` }}
            />
          );
        })}
        {near.length > 0 && <path className={styles.near} d={near.map(([at]) => pathOf(drawing, at)).join("")} />}
      </svg>
    </ViewportPortal>
  );
}

/** From the right edge of one box to the left edge of the other, level past what stands between them. */
function pathOf({ lines, places, ways }: Drawing, at: number): string {
  const line = lines[at]!;
  const [from, to] = [places[line.from]!, places[line.to]!];
  let [x, y] = [from.x + BOX.width, from.y + BOX.height / 2];
  let path = `M${x} ${y}`;
  const bendTo = (nextX: number, nextY: number) => {
    const bend = Math.max(24, (nextX - x) / 2);
    path += `C${x + bend} ${y} ${nextX - bend} ${nextY} ${nextX} ${nextY}`;
    [x, y] = [nextX, nextY];
  };
  for (const past of ways[at]!) {
    bendTo(past.x - BOX.width / 2, past.y);
    x = past.x + BOX.width / 2;
    path += `H${x}`;
  }
  bendTo(to.x, to.y + BOX.height / 2);
  return path;
}
