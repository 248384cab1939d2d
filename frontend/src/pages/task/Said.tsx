/** What a task has to say for itself: why it failed, and how far it is. */
import type { TaskView } from "../../api/client";
import { type Place, placeIn } from "../../live/places";
import { Hint } from "../../ui/Hint";
import looks from "../../ui/looks.module.css";
import { count } from "../../ui/words";
import { waits } from "./queries";
import styles from "./Task.module.css";

/** How grave the reason is, where it is no failure. */
const TONES: Readonly<Record<string, string | undefined>> = { inconclusive: looks.doubt, cancelled: looks.calm };

/** Why it is as it is, with a way to the line of its source that this names. */
export function Reason({ task, show }: { task: TaskView; show: (place: Place) => void }) {
  if (task.reason === null || waits(task.state)) return null;
  const place = placeIn(task.reason.message);
  return (
    <p className={`${looks.note} ${TONES[task.state] ?? ""}`}>
      <b>
        <bdi>{task.reason.message}</bdi>
      </b>{" "}
      <Hint says={task.reason.hint} />{" "}
      {place !== null && (
        <button type="button" className="link" onClick={() => show(place)}>
          Show line {count(place.line)}
        </button>
      )}
    </p>
  );
}

/** How far it says it is. */
export function Progress({ task }: { task: TaskView }) {
  if (task.progress === null) return null;
  const { fraction, message } = task.progress;
  return (
    <p className={styles.progress}>
      {fraction !== null && (
        <>
          <progress value={fraction} aria-label="Progress" />{" "}
          <span className="mono">{Math.round(fraction * 100)} %</span>
        </>
      )}
      <bdi>{message}</bdi>
    </p>
  );
}
