/** Graph, table and line of time of a run: what is chosen in one is chosen in all, and in the address. */
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useMemo } from "react";
import { useLiveness } from "../../api/liveness";
import { BOX, BOXES_MAX } from "../../graph/fold";
import type { Drawing } from "../../graph/layout";
import { inOrder, wordOf } from "../../graph/StateBar";
import { useDrawing } from "../../graph/useDrawing";
import { useKeys } from "../../keyboard/keys";
import { Choice } from "../../ui/Choices";
import { StateMark } from "../../ui/StateMark";
import { NARROW } from "../../ui/useMedia";
import { useNow } from "../../ui/useNow";
import { count } from "../../ui/words";
import { useWhyNot } from "../workflows/may";
import { isRunOver, type RunView, type StepView } from "../workflows/queries";
import { useAgain } from "../workflows/useAgain";
import { Detail } from "./Detail";
import { Items } from "./Items";
import type { ItemState } from "./items";
import styles from "./Run.module.css";
import { nameOf, RunGraph } from "./RunGraph";
import { type Row, sayingOf } from "./rows";
import { Steps } from "./Steps";

/** What of the run is shown, as the address has it. */
interface Shown {
  step?: string;
  state?: string;
  group?: string;
  graph?: "shown" | "hidden";
  /** Of a parallel step: its items in this state, or "all". */
  items?: ItemState | "all";
}

function useShown(): [Shown, (change: { [Name in keyof Shown]: Shown[Name] | undefined }) => void] {
  const navigate = useNavigate({ from: "/dags/$id" });
  const shown = useSearch({ from: "/dags/$id" }) as Shown;
  const show = useCallback(
    (change: { [Name in keyof Shown]: Shown[Name] | undefined }) =>
      void navigate({
        search: (before) =>
          Object.fromEntries(Object.entries({ ...before, ...change }).filter(([, value]) => value !== undefined)),
        replace: true,
      }),
    [navigate],
  );
  return [shown, show];
}

export function Chart({ run, steps }: { run: RunView; steps: readonly StepView[] }) {
  const [shown, show] = useShown();
  const navigate = useNavigate();
  const whyNot = useWhyNot();
  const again = useAgain();
  const { live } = useLiveness();
  const over = isRunOver(run.state);
  const now = useNow(!over && live);
  // What the steps wait for never changes while a run goes on.
  const drawing = useDrawing(`${run.id} ${steps.length}`, steps);
  const numbers = useMemo(() => new Map(steps.map((step, number) => [step.id, number])), [steps]);
  const chosen = shown.step === undefined ? -1 : (numbers.get(shown.step) ?? -1);
  const group = groupOf(drawing, numbers, shown.group);
  const rows = useMemo(() => {
    const members = group < 0 ? null : new Set(drawing?.boxes[group]?.members);
    return steps.flatMap((step, number): Row[] => {
      if (members !== null && !members.has(number)) return [];
      return shown.state === undefined || sayingOf(step).state === shown.state ? [{ number, step }] : [];
    });
  }, [steps, drawing, group, shown.state]);
  const counts = useMemo(() => {
    const all: Record<string, number> = {};
    for (const step of steps) {
      const { state } = sayingOf(step);
      all[state] = (all[state] ?? 0) + 1;
    }
    return all;
  }, [steps]);

  const large = drawing !== null && drawing.boxesInAll > BOXES_MAX;
  const closed = large || window.matchMedia(NARROW).matches;
  const graph = shown.graph === undefined ? !closed : shown.graph === "shown";
  const toggle = () => show({ graph: graph ? "hidden" : "shown" });
  const step = steps[chosen];
  const items = step !== undefined && step.items !== null && step.items.total > 0 ? shown.items : undefined;
  const toggleItems = () => show({ items: items === undefined ? "all" : undefined });
  useKeys([
    { keys: "v", says: graph ? "hide the graph" : "show the graph", run: toggle },
    ...(step?.items ? [{ keys: "i", says: items ? "show the steps" : "show the items", run: toggleItems }] : []),
  ]);
  const chooseStep = (number: number) => show({ step: steps[number]?.id, items: undefined });
  const chooseGroup = (box: number) =>
    show({ group: steps[drawing?.boxes[box]?.members[0] ?? -1]?.id, step: undefined });
  const open = ({ step }: Row) => {
    if (step.taskId !== null) void navigate({ to: "/tasks/$id", params: { id: step.taskId } });
  };
  const ends = { from: Date.parse(run.createdAt), until: run.finishedAt === null ? now : Date.parse(run.finishedAt) };
  return (
    <div className={styles.chart}>
      <div className={styles.bench} role="toolbar" aria-label="Show of the run">
        {inOrder(counts).map(([state, many]) => (
          <Choice
            key={state}
            chosen={shown.state === state}
            choose={() => show({ state: shown.state === state ? undefined : state })}
          >
            <StateMark state={state} word={wordOf(state)} /> <span className="mono">{count(many)}</span>
          </Choice>
        ))}
        <span className={styles.space} />
        <button type="button" className="button" aria-pressed={graph} onClick={toggle}>
          {graph ? "Hide the graph" : large ? "Show the grouped graph" : "Show the graph"}
        </button>
      </div>
      <div className={styles.body}>
        <div className={styles.sheets}>
          {graph &&
            (drawing === null ? (
              <p className={styles.drawing} role="status">
                Drawing the graph…
              </p>
            ) : (
              <div className={styles.graph} style={{ height: heightOf(drawing) }}>
                <RunGraph
                  drawing={drawing}
                  steps={steps}
                  step={chosen}
                  group={group}
                  chooseStep={chooseStep}
                  chooseGroup={chooseGroup}
                />
              </div>
            ))}
          <Notes run={run} steps={steps} drawing={graph ? drawing : null} />
          {group >= 0 && drawing !== null && (
            <p>
              Only the {count(drawing.boxes[group]!.members.length)} steps of{" "}
              <b>{nameOf(drawing.boxes[group]!, steps)}</b>.{" "}
              <button type="button" className="link" onClick={() => show({ group: undefined })}>
                Show all
              </button>
            </p>
          )}
          {step !== undefined && items !== undefined ? (
            <Items
              of={{ run: run.id, step: step.id, over }}
              step={step}
              state={items === "all" ? undefined : items}
              choose={(state) => show({ items: state ?? "all" })}
              close={() => show({ items: undefined })}
              again={over ? (what) => void again(run.id, what) : null}
              whyNot={whyNot}
            />
          ) : (
            <div className={styles.table}>
              <Steps rows={rows} {...ends} chosen={chosen} choose={chooseStep} open={open} />
            </div>
          )}
        </div>
        {step !== undefined && (
          <Detail
            step={step}
            steps={steps}
            choose={(id) => show({ step: id ?? undefined, items: undefined })}
            items={items !== undefined}
            toggleItems={toggleItems}
            again={over ? (what) => void again(run.id, what) : null}
            whyNot={whyNot}
          />
        )}
      </div>
    </div>
  );
}

/** As high as the drawing needs; the sheet of styles bounds it. */
function heightOf(drawing: Drawing): number {
  const tops = drawing.places.map((place) => place.y);
  return Math.max(200, Math.max(...tops) - Math.min(...tops) + BOX.height + 72);
}

function groupOf(drawing: Drawing | null, numbers: ReadonlyMap<string, number>, first: string | undefined): number {
  const number = first === undefined ? undefined : numbers.get(first);
  if (drawing === null || number === undefined) return -1;
  return drawing.boxes.findIndex((box) => box.kind !== "step" && box.members.includes(number));
}

/** What is not in the picture, said. */
function Notes({ run, steps, drawing }: { run: RunView; steps: readonly StepView[]; drawing: Drawing | null }) {
  const missing = run.steps - steps.length;
  if (missing <= 0 && !drawing?.thinned) return null;
  return (
    <p className="mute">
      {missing > 0 &&
        `Here are the first ${count(steps.length)} of ${count(run.steps)} steps, and only they are counted and found here. The rest: anchor dag get ${run.id}. `}
      {drawing?.thinned && "Only lines between neighbouring levels are drawn; there are too many for all."}
    </p>
  );
}
