/** The last lines of a task that runs: the newest one, or one that somebody keeps in view. */
import { Link } from "@tanstack/react-router";
import type { TaskRow } from "../../api/client";
import { isOver } from "../../api/queries";
import { useLines } from "../../live/lines";
import { serverNow } from "../../live/pulse";
import { Panel } from "../../ui/Panel";
import { StateMark } from "../../ui/StateMark";
import { lookOf } from "../../ui/states";
import { useNow } from "../../ui/useNow";
import { useFollowed } from "./queries";
import styles from "./Watch.module.css";

const TAIL_LINES = 5;

interface Following {
  chosen: string | undefined;
  choose: (id: string | undefined) => void;
}

export function FollowedTask({ chosen, choose }: Following) {
  const task = useFollowed(chosen).data;
  return (
    <Panel
      title="Follow a task"
      aside={
        task && (
          <button
            type="button"
            className="link"
            aria-pressed={chosen !== undefined}
            onClick={() => choose(chosen === undefined ? task.id : undefined)}
          >
            {chosen === undefined ? "keep this one" : "follow the newest"}
          </button>
        )
      }
    >
      {task ? <Tail key={task.id} task={task} /> : <p className="mute">Nothing runs at the moment.</p>}
    </Panel>
  );
}

function Tail({ task }: { task: TaskRow }) {
  const { lines } = useLines(task.id);
  return (
    <div className={styles.tail}>
      <div className={styles.between}>
        <Link to="/tasks/$id" params={{ id: task.id }}>
          <b>
            <bdi>{task.name || task.id}</bdi>
          </b>
        </Link>
        <span className="mono">
          <StateMark state={task.state} word={`${lookOf(task.state).word} ${useClock(task)}`} />
        </span>
      </div>
      <p className="mono mute">
        {task.id}
        {task.nodeId && ` on ${task.nodeId}`}
        {task.runtime && ` · ${task.runtime}`}
      </p>
      <div className={styles.lines}>
        {lines.length === 0 && (
          <span className="mute">{isOver(task.state) ? "It printed nothing." : "It has printed nothing yet."}</span>
        )}
        {lines.slice(-TAIL_LINES).map((line) => (
          <div key={line.key}>
            <bdi>{line.text}</bdi>
          </div>
        ))}
      </div>
    </div>
  );
}

/** How long it runs, as a clock: 00:41. */
function useClock(task: TaskRow): string {
  useNow(!isOver(task.state));
  if (task.startedAt === null) return "";
  const until = task.finishedAt === null ? serverNow() : Date.parse(task.finishedAt);
  const seconds = Math.max(0, Math.floor((until - Date.parse(task.startedAt)) / 1000));
  const two = (value: number) => String(value).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  return `${hours > 0 ? `${hours}:` : ""}${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}
