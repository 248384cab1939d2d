/** What is on a node now, and what the records say of it: tasks, apps, events. */
import { Link } from "@tanstack/react-router";
import { useMay } from "../../api/session";
import { serverNow } from "../../live/pulse";
import { Panel } from "../../ui/Panel";
import { Failed, Loading } from "../../ui/Said";
import { StateMark } from "../../ui/StateMark";
import { ago, at, lasting, many } from "../../ui/words";
import styles from "./Node.module.css";
import { useAppsOn, useEventsOf, useTasksOn } from "./queries";

export function Tasks({ node }: { node: string }) {
  const tasks = useTasksOn(node);
  return (
    <Panel
      title="Working on"
      aside={
        <Link to="/tasks" search={{ q: `node:${node}` }}>
          All it ever had
        </Link>
      }
    >
      {tasks.data === undefined ? (
        tasks.isPending ? (
          <Loading what="its tasks" />
        ) : (
          <Failed what="its tasks" error={tasks.error} again={() => void tasks.refetch()} />
        )
      ) : tasks.data.length === 0 ? (
        <p className={styles.sheet}>Nothing at the moment.</p>
      ) : (
        <ul className={styles.rows}>
          {tasks.data.map((task) => (
            <li key={task.id}>
              <StateMark state={task.state} />
              <Link to="/tasks/$id" params={{ id: task.id }}>
                <bdi>{task.name || task.id}</bdi>
              </Link>
              <span className="mute">{task.runtime}</span>
              <span className="mono">
                {task.startedAt === null ? "" : lasting(serverNow() - Date.parse(task.startedAt))}
              </span>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

export function Apps({ node, replicas }: { node: string; replicas: number }) {
  const apps = useAppsOn(node, replicas > 0);
  if (replicas === 0 || apps.data === undefined || apps.data.length === 0) return null;
  return (
    <Panel title={`Apps, ${many(replicas, "replica")} here`}>
      <ul className={styles.rows}>
        {apps.data.map((app) => (
          <li key={app.id}>
            <StateMark state={app.state} />
            <Link to="/clusters/$id" params={{ id: app.id }}>
              <bdi>{app.title || app.name}</bdi>
            </Link>
            <span className="mute">
              {app.ready} of {app.wanted} ready
            </span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

export function Events({ node }: { node: string }) {
  const mayRead = useMay("operator");
  const events = useEventsOf(node, mayRead);
  if (!mayRead) return null;
  return (
    <Panel
      title="What happened to it"
      aside={
        <Link to="/events" search={{ subject: node }}>
          All events
        </Link>
      }
    >
      {events.data === undefined ? (
        events.isPending ? (
          <Loading what="its events" />
        ) : (
          <Failed what="its events" error={events.error} again={() => void events.refetch()} />
        )
      ) : events.data.length === 0 ? (
        <p className={styles.sheet}>Nothing is on record.</p>
      ) : (
        <ul className={styles.rows}>
          {events.data.map((event) => (
            <li key={event.number}>
              <span className="mono" title={at(event.at)}>
                {ago(event.at)}
              </span>
              <span>
                <bdi>{event.message}</bdi> <span className="mute">by {event.by}</span>
              </span>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}
