/** The source of a task as it ran, with numbered lines, one of which may be pointed at. */
import { useEffect, useRef } from "react";
import type { TaskView } from "../../api/client";
import { copy } from "../../ui/AsCurl";
import looks from "../../ui/looks.module.css";
import styles from "./Task.module.css";

export function Source({ task, line }: { task: TaskView; line: number | null }) {
  // What is at its default is left out of a payload.
  const payload: Partial<NonNullable<TaskView["payload"]>> | null = task.payload;
  if (payload === null) return <p>There is no source: this task does nothing, or its code is not shown to you.</p>;
  if (typeof payload.sourceCode === "string") return <Numbered text={payload.sourceCode} line={line} />;
  if (Array.isArray(payload.command)) return <Numbered text={payload.command.join(" ")} line={null} />;
  if (typeof payload.module !== "string") return <p>It ran what its image starts with.</p>;
  const digest = /^sha256:([0-9a-f]{64})$/.exec(payload.module)?.[1];
  return (
    <p>
      It ran a WebAssembly module
      {payload.function && `, its function ${payload.function}`}
      {digest === undefined ? (
        " that was sent with it."
      ) : (
        <>
          : <a href={`/api/blobs/${digest}`}>fetch it</a> <span className="mono mute">sha256 {digest}</span>
        </>
      )}
    </p>
  );
}

function Numbered({ text, line }: { text: string; line: number | null }) {
  const pointed = useRef<HTMLLIElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another line is what it waits for
  useEffect(() => {
    pointed.current?.scrollIntoView({ block: "center" });
  }, [line]);
  return (
    <div className={styles.json}>
      <button type="button" className="link" onClick={() => void copy(text)}>
        copy
      </button>
      <div className={`${looks.printed} ${styles.source}`} tabIndex={0} role="region" aria-label="Source">
        <ol>
          {text.split("\n").map((one, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a line is its number
            <li key={at} ref={at + 1 === line ? pointed : null} className={at + 1 === line ? styles.pointed : ""}>
              <code>{one}</code>
            </li>
          ))}
        </ol>
      </div>
    </div>
  );
}
