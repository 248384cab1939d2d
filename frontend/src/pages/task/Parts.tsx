/** What there is of a task that was submitted, in parts: what it prints, its result, its attempts, where it ran. */
import type { TaskView } from "../../api/client";
import { isOver } from "../../api/queries";
import type { Output as Lines } from "../../live/output";
import type { Place } from "../../live/places";
import { Output } from "../../ui/Output";
import { Tabs } from "../../ui/Tabs";
import { bytes } from "../../ui/words";
import { Attempts } from "./Attempts";
import { Json } from "./Json";
import styles from "./Task.module.css";
import { WhereItRan } from "./WhereItRan";

export const PARTS = ["Output", "Result", "Attempts", "Where it ran"] as const;
export type Part = (typeof PARTS)[number];

interface PartsProps<More extends string> {
  task: TaskView;
  output: Lines;
  chosen: Part | More;
  choose: (part: Part | More) => void;
  show: (place: Place) => void;
  /** Parts that only one of the pages has. */
  more?: Readonly<Record<More, React.ReactNode>>;
}

export function Parts<More extends string = never>({ task, output, chosen, choose, show, more }: PartsProps<More>) {
  const names = [...PARTS, ...(Object.keys(more ?? {}) as More[])];
  return (
    <Tabs<Part | More> label="Parts of the task" names={names} chosen={chosen} choose={choose}>
      {chosen === "Output" ? (
        <Output
          key={task.id}
          output={output}
          rawUrl={`/api/tasks/${task.id}/logs`}
          memory={task.id}
          cut={task.attempts.some((one) => one.outputTruncated)}
          show={show}
        />
      ) : chosen === "Result" ? (
        <Result task={task} />
      ) : chosen === "Attempts" ? (
        <Attempts attempts={task.attempts} />
      ) : chosen === "Where it ran" ? (
        <WhereItRan task={task} />
      ) : (
        more?.[chosen as More]
      )}
    </Tabs>
  );
}

function Result({ task }: { task: TaskView }) {
  if (!isOver(task.state)) return <p>There is no result before it is done.</p>;
  if (task.state !== "succeeded") return <p>It came to no result{task.reason && `: ${task.reason.message}`}</p>;
  return (
    <div className={styles.result}>
      {task.resultBlob === null ? (
        <Json value={task.result} label="Result" />
      ) : (
        <p>
          The result is too large to show here: <a href={`/api/tasks/${task.id}/result`}>fetch it</a>.
        </p>
      )}
      {task.files.length > 0 && (
        <section aria-label="Files it left">
          <h3>Files it left</h3>
          <ul>
            {task.files.map((file) => (
              <li key={file.name} className={styles.file}>
                <a href={file.url} download>
                  <bdi>{file.name}</bdi>
                </a>{" "}
                <span className="mute">{bytes(file.size)}</span>{" "}
                <span className="mono mute" title={file.sha256}>
                  sha256 {file.sha256.slice(0, 12)}…
                </span>
              </li>
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}
