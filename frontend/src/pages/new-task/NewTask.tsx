/** Run a task: write it, see who could run it, run it, and see its output, all on one page. */
import { useQuery } from "@tanstack/react-query";
import { createLazyRoute, useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { api, Problem, type TaskView, take } from "../../api/client";
import { useKeys } from "../../keyboard/keys";
import { Hint } from "../../ui/Hint";
import looks from "../../ui/looks.module.css";
import { Menu } from "../../ui/Menu";
import { Page } from "../../ui/Page";
import { Failed, Loading } from "../../ui/Said";
import { AsCode } from "./AsCode";
import { type Draft, drafted, draftOf } from "./draft";
import type { EditorHandle } from "./Editor";
import { EXAMPLES } from "./examples";
import { Faults } from "./Field";
import { FitLine, useFit } from "./Fit";
import { Form } from "./Form";
import { FIRST, loadDraft, useKept } from "./keeping";
import styles from "./NewTask.module.css";
import { Ran } from "./Ran";
import { runtimeOf } from "./runtimes";
import { type Fault, specOf } from "./spec";
import { told, useSubmit } from "./submit";

export const route = createLazyRoute("/tasks/new")({ component: NewTask });

const RUN_KEYS = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘↵" : "Ctrl ↵";

function NewTask() {
  const navigate = useNavigate();
  const { task, from } = useSearch({ from: "/tasks/new" });
  const [draft, setDraft] = useState<Draft>(() => loadDraft() ?? FIRST);
  // What was being written before something else was filled in.
  const [before, setBefore] = useState<Draft | null>(null);
  const [note, setNote] = useState<string | null>(null);
  const kept = useKept(draft);
  const editor = useRef<EditorHandle>(null);
  const set = useCallback((fields: Partial<Draft>) => setDraft((old) => ({ ...old, ...fields })), []);

  const { spec, faults: own } = useMemo(() => specOf(draft), [draft]);
  const fit = useFit(own.length === 0 ? spec : null);
  const submit = useSubmit((id) => void navigate({ to: "/tasks/new", search: { task: id }, replace: true }));
  const faults = [...own, ...(own.length > 0 ? [] : told(fit.data?.faults, fit.error, submit.faultsOf(spec)))];
  const run = () => {
    if (own.length === 0 && !submit.isPending) submit.send(spec);
  };
  useRunKey(run);
  const fill = (fields: Partial<Draft>, word: string) => {
    setBefore(draft);
    setDraft(drafted(fields));
    setNote(`Filled in: ${word}.`);
  };
  const example = useTaskBefore(from, (found) => {
    fill(draftOf(found), `${found.name || found.id}, as it was run`);
    // The address is that of what is written now: a reload does not fill it in again.
    void navigate({ to: "/tasks/new", search: {}, replace: true });
  });
  const refused = submit.error !== null && faults.length === 0 ? submit.error : null;
  return (
    <Faults value={faults}>
      <Page
        title="Run a task"
        fill
        aside={
          <>
            <span className="mute" role="status">
              {kept === null ? "draft…" : kept ? "draft saved" : "the draft is too large to be saved"}
            </span>
            <AsCode draft={draft} spec={spec} />
            <Menu
              word="Examples"
              choices={EXAMPLES.map((one) => ({ word: one.word, run: () => fill(one.draft, one.word) }))}
            />
            <button type="button" className="button main" disabled={own.length > 0 || submit.isPending} onClick={run}>
              Run <kbd>{RUN_KEYS}</kbd>
            </button>
          </>
        }
      >
        {from !== undefined && example.isPending && <Loading what="the task to run again" />}
        {from !== undefined && example.error !== null && (
          <Failed what="the task to run again" error={example.error} again={() => void example.refetch()} />
        )}
        {note !== null && (
          <p className={`${looks.note} ${looks.calm} ${styles.note}`} role="status">
            <bdi>{note}</bdi>
            {before !== null && (
              <button
                type="button"
                className="link"
                onClick={() => {
                  setDraft(before);
                  setBefore(null);
                  setNote(null);
                }}
              >
                Put back what you were writing
              </button>
            )}
          </p>
        )}
        <Kept draft={draft} drop={() => set({ kept: {} })} />
        <Form draft={draft} set={set} editor={editor} />
        <Elsewhere faults={faults} />
        {refused !== null && (
          <div className={looks.note} role="alert">
            <b>It was not sent. {refused.message}</b> {refused instanceof Problem && <Hint says={refused.hint} />}
          </div>
        )}
        <FitLine
          fit={fit}
          runtime={runtimeOf(draft.language, draft.runtime).says}
          allowSameOwner={Number(draft.copies) > 1 && !draft.sameOwner ? () => set({ sameOwner: true }) : null}
        />
        {task === undefined ? (
          <p className={styles.before}>
            <span>
              Its output comes here as it runs. <kbd>{RUN_KEYS}</kbd> runs it.
            </span>
          </p>
        ) : (
          <Ran key={task} id={task} show={(place) => editor.current?.show(place)} />
        )}
      </Page>
    </Faults>
  );
}

/** ⌘↵ or Ctrl Enter, wherever on the page one is: buttons and fields that have a use for Enter do not get this one. */
function useRunKey(run: () => void): void {
  useKeys([{ keys: "mod+Enter", says: "run it", run }]);
  const now = useRef(run);
  now.current = run;
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.key !== "Enter" || !(event.metaKey || event.ctrlKey)) return;
      if (document.querySelector("dialog[open]") !== null) return;
      event.preventDefault();
      event.stopPropagation();
      now.current();
    };
    document.addEventListener("keydown", pressed, true);
    return () => document.removeEventListener("keydown", pressed, true);
  }, []);
}

/** A task that was run before, told once it is here. */
function useTaskBefore(id: string | undefined, found: (task: TaskView) => void) {
  const done = useRef<string | null>(null);
  const task = useQuery({
    queryKey: ["task", id],
    enabled: id !== undefined,
    queryFn: ({ signal }) => take(api.GET("/api/tasks/{id}", { params: { path: { id: id! } }, signal })),
  });
  const here = id === undefined ? undefined : task.data;
  useEffect(() => {
    if (here === undefined) done.current = null;
    else if (done.current !== here.id) {
      done.current = here.id;
      found(here);
    }
  });
  return task;
}

const SHOWN = [
  "/name",
  "/payload/language",
  "/payload/runtime",
  "/payload/sourceCode",
  "/payload/command",
  "/payload/module",
  "/payload/function",
  "/payload/args",
  "/payload/input",
  "/payload/dependencies",
  "/limits/memoryMb",
  "/limits/timeoutSeconds",
  "/requirements",
  "/retry/attempts",
  "/verify",
];

/** What is wrong with something that has no field here. */
function Elsewhere({ faults }: { faults: readonly Fault[] }) {
  const others = faults.filter(
    ({ pointer }) => !SHOWN.some((shown) => pointer === shown || pointer.startsWith(`${shown}/`)),
  );
  if (others.length === 0) return null;
  return (
    <ul className={looks.note} role="alert">
      {others.map((one) => (
        <li key={`${one.pointer} ${one.message}`}>
          <span className="mono">{one.pointer}</span> {one.message}
        </li>
      ))}
    </ul>
  );
}

/** What was taken over from a task and has no field here. */
function Kept({ draft, drop }: { draft: Draft; drop: () => void }) {
  const { payload = {}, limits = {}, retry = {}, task = {} } = draft.kept;
  const names = [payload, limits, retry, task].flatMap((some) => Object.keys(some));
  if (names.length === 0) return null;
  return (
    <p className={`${looks.note} ${looks.calm} ${styles.note}`}>
      Taken over as it was: {names.join(", ")}.
      <button type="button" className="link" onClick={drop}>
        Leave that out
      </button>
    </p>
  );
}
