/** Build a workflow: by mouse, by keyboard, or as JSON; each follows the other. */
import { createLazyRoute } from "@tanstack/react-router";
import { useCallback, useMemo, useState } from "react";
import { useDraw } from "../../graph/useDrawing";
import { useKeys } from "../../keyboard/keys";
import { Page } from "../../ui/Page";
import { Empty } from "../../ui/Said";
import { say } from "../../ui/Toast";
import { NARROW, useMedia } from "../../ui/useMedia";
import { useWhyNot } from "../workflows/may";
import { Acts } from "./Acts";
import styles from "./Builder.module.css";
import { Canvas } from "./Canvas";
import { Connect } from "./Connect";
import {
  added,
  connected,
  freeName,
  type GraphDraft,
  type Place,
  removed,
  replaced,
  type StepDraft,
  sourceOf,
  waitsFor,
} from "./draft";
import { Faults } from "./Faults";
import { faultsOf } from "./faults";
import { Json } from "./Json";
import { allPlaces, beside, freeSpot } from "./places";
import { StepForm } from "./StepForm";
import { useCheck } from "./useCheck";
import { useDraft } from "./useDraft";
import { useFrom } from "./useFrom";
import { useYaml } from "./useYaml";

export const route = createLazyRoute("/dags/new")({ component: Builder });

/** More steps than this are not drawn here: nobody could put them in order by hand. */
const DRAWN_MAX = 200;

type Over = { kind: "form"; at: number; step: StepDraft; place: Place } | { kind: "connect"; from: string } | null;

function Builder() {
  const narrow = useMedia(NARROW);
  const { draft, write, name, change, move, settle, back, forth, canGoBack } = useDraft();
  const { graph, places, wrong } = draft;
  const [chosen, setChosen] = useState(-1);
  const [focus, setFocus] = useState({ at: 0, turn: 0 });
  const [fit, setFit] = useState(0);
  const [line, setLine] = useState<{ from: string; to: string } | null>(null);
  const [over, setOver] = useState<Over>(null);
  const local = useMemo(() => faultsOf(graph), [graph]);
  const whyNot = useWhyNot();
  const check = useCheck(graph, wrong === null && local.length === 0 && whyNot === null);
  const faults = wrong !== null ? [{ step: -1, says: wrong }] : local.length > 0 ? local : check.faults;
  const faulty = useMemo(() => new Set(faults.map((fault) => fault.step)), [faults]);
  const step = graph.steps[chosen];
  const drawn = graph.steps.length <= DRAWN_MAX;

  const draw = useDraw((drawing) => {
    const tidy = graph.steps.map((one, at) => [one.id, drawing.places[at] ?? { x: 0, y: 0 }] as const);
    move(Object.fromEntries(tidy));
    setFit((before) => before + 1);
  });
  const load = useCallback(
    (next: GraphDraft) => {
      change(next, {});
      setChosen(-1);
      setLine(null);
      setFit((before) => before + 1);
    },
    [change],
  );
  useFrom(load);
  const fitAgain = useCallback(() => setFit((before) => before + 1), []);
  useYaml(draft, settle, fitAgain);
  const open = async (file: File | undefined) => {
    if (file === undefined) return;
    write(await file.text());
    setChosen(-1);
    fitAgain();
  };
  const tidy = () => {
    const linked = graph.steps.map((one) => ({ id: one.id, dependencies: waitsFor(one), softDependencies: [] }));
    draw(linked, true);
  };
  const take = (at: number) => {
    setChosen(at);
    setLine(null);
    setFocus(({ turn }) => ({ at, turn: turn + 1 }));
  };
  const add = (place?: Place, after?: string) => {
    const spots = allPlaces(graph, places);
    const here = spots[chosen];
    const wanted = here === undefined ? (spots.at(-1) ?? { x: 0, y: 0 }) : beside(here);
    const id = freeName(graph);
    const code = { runtime: "isolate", sourceCode: "return 1" };
    const fresh = { id, payload: code, ...(after === undefined ? {} : { dependencies: [after] }) };
    setOver({ kind: "form", at: -1, step: fresh, place: place ?? freeSpot(wanted, spots) });
  };
  const edit = (at: number) => {
    const found = graph.steps[at];
    if (found !== undefined) setOver({ kind: "form", at, step: found, place: { x: 0, y: 0 } });
  };
  const disconnect = (from: string, to: string) => {
    if (graph.steps.some((one) => one.id === to && sourceOf(one) === from)) {
      say(`${from} makes the list that ${to} works through: edit ${to} to change that.`, true);
    } else change(connected(graph, from, to, false));
  };
  const remove = () => {
    if (line !== null) {
      disconnect(line.from, line.to);
      setLine(null);
    } else if (step !== undefined) {
      change(removed(graph, chosen));
      take(Math.min(chosen, graph.steps.length - 2));
    }
  };
  const connect = () => step !== undefined && setOver({ kind: "connect", from: step.id });
  const save = (at: number, saved: StepDraft, place: Place) => {
    if (at < 0) change(added(graph, saved), { ...places, [saved.id]: place });
    else {
      const spot = allPlaces(graph, places)[at]!;
      change(replaced(graph, at, saved), { ...places, [saved.id]: spot });
    }
    setOver(null);
    take(at < 0 ? graph.steps.length : at);
  };
  useKeys(
    narrow
      ? []
      : [
          { keys: "a", says: "add a step", run: () => add() },
          { keys: "c", says: "connect the chosen step", run: connect },
          { keys: "e", says: "edit the chosen step", run: () => edit(chosen) },
          { keys: "Delete", says: "remove what is chosen", run: remove },
          { keys: "u", says: "undo", run: back },
          { keys: "y", says: "do it again", run: forth },
        ],
  );
  return (
    <Page
      title="Build a workflow"
      aside={
        <Acts
          graph={graph}
          load={load}
          open={open}
          narrow={narrow}
          why={whyNot ?? faults[0]?.says ?? (check.checked ? null : "It is being checked.")}
        />
      }
      fill
    >
      {narrow ? (
        <p className={styles.narrow}>
          On a screen this narrow a workflow is looked at, not built: open this page on a wider one to change it.
        </p>
      ) : (
        <div className={styles.bench} role="toolbar" aria-label="Steps">
          <button type="button" className="button" onClick={() => add()}>
            Add a step <kbd>a</kbd>
          </button>
          <button type="button" className="button" disabled={step === undefined} onClick={connect}>
            Connect <kbd>c</kbd>
          </button>
          <button type="button" className="button" disabled={step === undefined} onClick={() => edit(chosen)}>
            Edit <kbd>e</kbd>
          </button>
          <button type="button" className="button" disabled={step === undefined && line === null} onClick={remove}>
            Remove <kbd>Del</kbd>
          </button>
          <button type="button" className="button" disabled={!canGoBack} onClick={back}>
            Undo <kbd>u</kbd>
          </button>
          <button type="button" className="button" disabled={!drawn || graph.steps.length === 0} onClick={tidy}>
            Tidy up
          </button>
          <label className={styles.title}>
            Name{" "}
            <input
              className="field mono"
              value={graph.name ?? ""}
              autoComplete="off"
              spellCheck={false}
              onChange={(event) => name(event.target.value)}
            />
          </label>
        </div>
      )}
      <Faults faults={faults} checked={check.checked} choose={drawn ? take : null} steps={graph.steps.length} />
      {/* biome-ignore lint/a11y/noStaticElementInteractions: "Begin with" opens a file by keyboard, too */}
      <div
        className={styles.body}
        onDragOver={(event) => {
          if (!narrow && event.dataTransfer.types.includes("Files")) event.preventDefault();
        }}
        onDrop={(event) => {
          if (narrow || event.dataTransfer.files.length === 0) return;
          event.preventDefault();
          void open(event.dataTransfer.files[0]);
        }}
      >
        <div className={styles.canvas}>
          {!drawn ? (
            <Empty title={`A workflow of ${graph.steps.length} steps is too large to draw by hand.`}>
              <p>Edit it as JSON; once it runs, its run shows it grouped.</p>
            </Empty>
          ) : (
            <>
              <Canvas
                graph={graph}
                places={places}
                faulty={faulty}
                chosen={chosen}
                focus={focus}
                fit={fit}
                choose={(at) => {
                  setChosen(at);
                  setLine(null);
                }}
                line={line}
                chooseLine={setLine}
                move={move}
                connect={(from, to) => change(connected(graph, from, to, true))}
                add={add}
                edit={edit}
                editable={!narrow}
              />
              {graph.steps.length === 0 && <Start narrow={narrow} />}
            </>
          )}
        </div>
        <Json
          text={draft.text}
          change={write}
          wrong={wrong !== null && !draft.unread}
          readOnly={narrow}
          empty={graph.steps.length === 0}
        />
      </div>
      {over?.kind === "form" && (
        <StepForm
          graph={graph}
          at={over.at}
          step={over.step}
          done={(saved) => save(over.at, saved, over.place)}
          close={() => setOver(null)}
        />
      )}
      {over?.kind === "connect" && (
        <Connect
          graph={graph}
          from={over.from}
          connect={(to, wanted) => {
            if (wanted) change(connected(graph, over.from, to, true));
            else disconnect(over.from, to);
            take(chosen);
          }}
          close={() => setOver(null)}
        />
      )}
    </Page>
  );
}

function Start({ narrow }: { narrow: boolean }) {
  if (narrow) return <p className={styles.start}>There is no draft in this browser.</p>;
  return (
    <p className={styles.start}>
      Press <kbd>a</kbd> to add the first step, double-click where it is to stand, or begin with an example. Drag from
      the right edge of a box to the left edge of another to say what waits for what.
    </p>
  );
}
