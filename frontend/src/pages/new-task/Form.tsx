/** The fields of a task: what it runs, in what, with which limits, on which nodes. */
import { lazy, Suspense, useId } from "react";
import { Tick, Wrong } from "../../ui/Field";
import { Loading } from "../../ui/Said";
import type { Draft, Language } from "./draft";
import type { EditorHandle } from "./Editor";
import { exampleOf, isExample } from "./examples";
import { Choice, Text, useFault } from "./Field";
import { Module } from "./Module";
import styles from "./NewTask.module.css";
import { LANGUAGES, RUNTIMES, runtimeOf } from "./runtimes";

const Editor = lazy(() => import("./Editor"));

interface FormProps {
  draft: Draft;
  set: (fields: Partial<Draft>) => void;
  editor: React.Ref<EditorHandle>;
}

export function Form({ draft, set, editor }: FormProps) {
  const runtime = runtimeOf(draft.language, draft.runtime);
  const runtimes = RUNTIMES[draft.language];
  const spoken = (language: Language) =>
    set({
      language,
      runtime: RUNTIMES[language][0]!.name,
      memory: "",
      timeout: "",
      ...(isExample(draft) ? exampleOf(language)?.draft : {}),
    });
  return (
    <div className={styles.form}>
      <div className={styles.fields}>
        <Text name="name" pointer="/name" value={draft.name} size={18} change={(name) => set({ name })} />
        <Choice
          name="language"
          pointer="/payload/language"
          value={draft.language}
          choices={LANGUAGES.map(({ name, word }) => ({ value: name, word }))}
          change={(language) => spoken(language as Language)}
        />
        <Choice
          name="runtime"
          pointer="/payload/runtime"
          value={draft.runtime}
          choices={[
            ...runtimes.map(({ name }) => ({ value: name, word: name })),
            // A task that is run again may have been for another, such as a container.
            ...(runtimes.some(({ name }) => name === draft.runtime)
              ? []
              : [{ value: draft.runtime, word: draft.runtime }]),
          ]}
          change={(name) => set({ runtime: name })}
        />
        <Choice
          name="check on"
          pointer="/verify"
          value={draft.copies}
          choices={[
            { value: "1", word: "1 node" },
            { value: "2", word: "2 nodes" },
            { value: "3", word: "3 nodes" },
            { value: "5", word: "5 nodes" },
            ...(draft.copies === "kept" ? [{ value: "kept", word: "as before" }] : []),
          ]}
          change={(copies) => set({ copies })}
        />
        {Number(draft.copies) > 1 && (
          <Tick
            name="nodes of one owner may check each other"
            value={draft.sameOwner}
            change={(sameOwner) => set({ sameOwner })}
          />
        )}
        <Text
          name="memory"
          pointer="/limits/memoryMb"
          value={draft.memory}
          size={5}
          placeholder={String(runtime.memory)}
          unit="MiB"
          numeric
          change={(memory) => set({ memory })}
        />
        <Text
          name="limit"
          pointer="/limits/timeoutSeconds"
          value={draft.timeout}
          size={4}
          placeholder={String(runtime.timeout)}
          unit="s"
          numeric
          change={(timeout) => set({ timeout })}
        />
      </div>
      <div className={styles.work}>
        <Work draft={draft} set={set} editor={editor} />
        <Input value={draft.input} change={(input) => set({ input })} />
      </div>
      <Needs draft={draft} set={set} />
    </div>
  );
}

function Work({ draft, set, editor }: FormProps) {
  const id = useId();
  const wrong = useFault("/payload/sourceCode");
  const { language } = draft;
  if (language === "wasm") {
    return (
      <div className={styles.part}>
        <span className="label">module</span>
        <Module draft={draft} set={set} />
        <div className={styles.fields}>
          <Text
            name="function"
            pointer="/payload/function"
            value={draft.function}
            size={12}
            placeholder="the program"
            change={(name) => set({ function: name })}
          />
          <Text
            name="arguments"
            pointer="/payload/args"
            value={draft.args}
            size={20}
            change={(args) => set({ args })}
          />
        </div>
      </div>
    );
  }
  if (language === "command") {
    return (
      <div className={styles.part}>
        <Text
          name="command"
          pointer="/payload/command"
          value={draft.command}
          size={48}
          placeholder="uname -a"
          change={(command) => set({ command })}
        />
      </div>
    );
  }
  return (
    <div className={styles.part}>
      <span className={styles.above}>
        <span className="label">source</span>
        <span className="mute">
          Tab indents; <kbd>Esc</kbd> then <kbd>Tab</kbd> leaves
        </span>
      </span>
      <Suspense fallback={<Loading what="the editor" />}>
        <Editor
          ref={editor}
          label={`Source, ${language === "python" ? "Python" : "JavaScript"}`}
          language={language}
          value={draft[language]}
          change={(text) => set({ [language]: text })}
          describedBy={wrong === null ? undefined : id}
        />
      </Suspense>
      <Wrong id={id} says={wrong} />
    </div>
  );
}

function Input({ value, change }: { value: string; change: (text: string) => void }) {
  const id = useId();
  const wrong = useFault("/payload/input");
  return (
    <div className={styles.part}>
      <span className={styles.above}>
        <label className="label" htmlFor={id}>
          input
        </label>
        <span className="mute">JSON, or nothing</span>
      </span>
      <textarea
        id={id}
        className={styles.input}
        value={value}
        spellCheck={false}
        aria-invalid={wrong !== null}
        aria-describedby={wrong === null ? undefined : `${id}-wrong`}
        onChange={(event) => change(event.target.value)}
      />
      <Wrong id={`${id}-wrong`} says={wrong} />
    </div>
  );
}

function Needs({ draft, set }: Pick<FormProps, "draft" | "set">) {
  const wrong = useFault("/requirements");
  const filled = [draft.cores, draft.ram, draft.labels, draft.where, draft.packages, draft.tries].some(Boolean);
  const native = draft.runtime === "native";
  return (
    <details className={styles.needs} open={wrong !== null || filled || draft.gpu || draft.network || undefined}>
      <summary>What it needs of a node, packages, tries</summary>
      <div className={styles.fields}>
        <Text
          name="cores"
          pointer="/requirements/minCores"
          value={draft.cores}
          size={4}
          placeholder="any"
          numeric
          change={(cores) => set({ cores })}
        />
        <Text
          name="RAM"
          pointer="/requirements/minRam"
          value={draft.ram}
          size={4}
          placeholder="any"
          unit="GiB"
          numeric
          change={(ram) => set({ ram })}
        />
        <Tick name="a GPU" value={draft.gpu} change={(gpu) => set({ gpu })} />
        <Text
          name="labels"
          pointer="/requirements/labels"
          value={draft.labels}
          size={18}
          placeholder="site:Vigo, fast"
          change={(labels) => set({ labels })}
        />
        <Text
          name="where"
          pointer="/requirements/expression"
          value={draft.where}
          size={24}
          placeholder="node.speed > 500"
          change={(where) => set({ where })}
        />
        {native && (
          <>
            <Text
              name="packages"
              pointer="/payload/dependencies"
              value={draft.packages}
              size={20}
              placeholder={draft.language === "python" ? "numpy>=2" : "lodash@4"}
              change={(packages) => set({ packages })}
            />
            <Tick name="the network" value={draft.network} change={(network) => set({ network })} />
          </>
        )}
        <Text
          name="tries"
          pointer="/retry/attempts"
          value={draft.tries}
          size={3}
          placeholder="3"
          numeric
          change={(tries) => set({ tries })}
        />
      </div>
    </details>
  );
}
