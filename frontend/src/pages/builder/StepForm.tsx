/** One step, as a form: its name, what it runs, what it waits for, and whether it does so for each item of a list. */
import { useId, useState } from "react";
import { Dialog, Leave } from "../../ui/Dialog";
import { first } from "../../ui/first";
import styles from "./Builder.module.css";
import { type GraphDraft, type StepDraft, sourceOf, waitsFor } from "./draft";
import { KINDS, kindOf, stepOf } from "./kinds";

interface StepFormProps {
  graph: GraphDraft;
  /** The number of the step, or -1 for a new one. */
  at: number;
  step: StepDraft;
  done: (step: StepDraft) => void;
  close: () => void;
}

export function StepForm({ graph, at, step, done, close }: StepFormProps) {
  const form = useId();
  const [id, setId] = useState(step.id);
  const [kind, setKind] = useState(kindOf(step));
  const [code, setCode] = useState(String(step.payload?.sourceCode ?? ""));
  const [after, setAfter] = useState<ReadonlySet<string>>(new Set(waitsFor(step)));
  const [each, setEach] = useState(sourceOf(step) ?? (Array.isArray(step.items) ? LIST : ONCE));
  const [list, setList] = useState(Array.isArray(step.items) ? JSON.stringify(step.items) : "[1, 2, 3]");
  const others = graph.steps.filter((_, number) => number !== at).map((one) => one.id);
  const wrong = wrongOf(id, others, each === LIST ? list : null);
  const save = (event: React.FormEvent) => {
    event.preventDefault();
    if (wrong !== null) return;
    const items = each === ONCE ? null : each === LIST ? (JSON.parse(list) as unknown[]) : { step: each };
    done(stepOf(step, { id: id.trim(), kind, code, after: [...after], items }));
  };
  const toggle = (name: string) => {
    const next = new Set(after);
    if (!next.delete(name)) next.add(name);
    setAfter(next);
  };
  return (
    <Dialog title={at < 0 ? "Add a step" : `Step ${step.id}`} close={close}>
      <form
        className={styles.form}
        onSubmit={save}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) save(event);
        }}
      >
        <label htmlFor={`${form}-id`}>Name</label>
        <input
          ref={first}
          id={`${form}-id`}
          className="field mono"
          value={id}
          autoComplete="off"
          spellCheck={false}
          aria-describedby={`${form}-wrong`}
          onChange={(event) => setId(event.target.value)}
          onFocus={(event) => event.target.select()}
        />
        <label htmlFor={`${form}-kind`}>Runs</label>
        <select
          id={`${form}-kind`}
          className="field"
          value={kind}
          onChange={(event) => setKind(event.target.value as typeof kind)}
        >
          {KINDS.map((one) => (
            <option key={one.key} value={one.key}>
              {one.word}
            </option>
          ))}
          {kindOf(step) === "other" && <option value="other">something else: see the JSON</option>}
        </select>
        {kind !== "none" && kind !== "other" && (
          <>
            <label htmlFor={`${form}-code`}>Code</label>
            <textarea
              id={`${form}-code`}
              className={`field ${styles.code}`}
              rows={7}
              value={code}
              spellCheck={false}
              placeholder={KINDS.find((one) => one.key === kind)?.example}
              onChange={(event) => setCode(event.target.value)}
            />
          </>
        )}
        {others.length > 0 && (
          <>
            <span id={`${form}-after`}>Waits for</span>
            <div className={styles.checks} role="group" aria-labelledby={`${form}-after`}>
              {[...new Set(others)].map((name) => (
                <label key={name} className={styles.check}>
                  <input type="checkbox" checked={after.has(name)} onChange={() => toggle(name)} />
                  <bdi>{name}</bdi>
                </label>
              ))}
            </div>
          </>
        )}
        {kind !== "none" && (
          <>
            <label htmlFor={`${form}-each`}>How often</label>
            <select
              id={`${form}-each`}
              className="field"
              value={each}
              onChange={(event) => setEach(event.target.value)}
            >
              <option value={ONCE}>once</option>
              <option value={LIST}>for each item of a list, all at once</option>
              {others.map((name) => (
                <option key={name} value={name}>
                  for each item that {name} makes, all at once
                </option>
              ))}
            </select>
          </>
        )}
        {kind !== "none" && each === LIST && (
          <>
            <label htmlFor={`${form}-list`}>List</label>
            <input
              id={`${form}-list`}
              className="field mono"
              value={list}
              spellCheck={false}
              onChange={(event) => setList(event.target.value)}
            />
          </>
        )}
        <p id={`${form}-wrong`} className={styles.wrong} role="status">
          {wrong}
        </p>
        <div className={styles.end}>
          <button type="submit" className="button main" disabled={wrong !== null}>
            {at < 0 ? "Add" : "Save"}
          </button>
          <Leave close={close} />
        </div>
      </form>
    </Dialog>
  );
}

/** Neither can be the name of a step, for those are trimmed. */
const ONCE = " once";
const LIST = " list";

function wrongOf(id: string, others: readonly string[], list: string | null): string | null {
  if (id.trim() === "") return "A step needs a name.";
  if (others.includes(id.trim())) return `There is a step called “${id.trim()}” already.`;
  if (list === null) return null;
  try {
    return Array.isArray(JSON.parse(list)) ? null : "The list is written like [1, 2, 3].";
  } catch {
    return "The list is no JSON: it is written like [1, 2, 3].";
  }
}
