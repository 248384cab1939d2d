/** Is it all right, and if not, where. */
import { Link } from "@tanstack/react-router";
import { useApps, useTasks } from "../../api/queries";
import { useLines } from "../../live/lines";
import { useLiveness } from "../../live/liveness";
import { useCourse, useFigures, useFleet } from "../../live/watch";
import { AsCurl } from "../../ui/AsCurl";
import { Figure, Figures } from "../../ui/Figure";
import { Page } from "../../ui/Page";
import { Panel } from "../../ui/Panel";
import { Empty, Failed, Loading } from "../../ui/Said";
import { StateMark } from "../../ui/StateMark";
import { count, lasting } from "../../ui/words";
import { FleetMap } from "./FleetMap";
import { NeedsYou } from "./NeedsYou";
import styles from "./Watch.module.css";

export function Watch() {
  return (
    <Page title="The watch" aside={<AsCurl path="/api/queue/stats" />}>
      <div className={styles.watch}>
        <div className={styles.main}>
          <Tide />
          <Soundings />
        </div>
        <div className={styles.side}>
          <NeedsYou />
          <FollowedTask />
          <RunningApps />
        </div>
      </div>
    </Page>
  );
}

function Tide() {
  const { figures, error } = useFigures();
  const dim = !useLiveness().live;
  const courses = {
    running: useCourse(figures?.running ?? null),
    waiting: useCourse(figures?.waiting ?? null),
    done: useCourse(figures?.done ?? null),
    failed: useCourse(figures?.failed ?? null),
    median: useCourse(figures?.medianWaitMs ?? null),
    online: useCourse(figures?.online ?? null),
  };
  if (figures === null && error !== null && !dim)
    return <Failed what="figures" error={error} again={() => location.reload()} />;
  const show = (value: number | undefined) => (value === undefined ? "…" : count(value));
  const wait = figures?.medianWaitMs;
  return (
    <Figures>
      <Figure label="Running" value={show(figures?.running)} tone="deep" samples={courses.running} dim={dim} />
      <Figure label="Waiting" value={show(figures?.waiting)} samples={courses.waiting} dim={dim} />
      <Figure label="Done, 5 min" value={show(figures?.done)} tone="go" samples={courses.done} dim={dim} />
      <Figure label="Failed, 5 min" value={show(figures?.failed)} tone="bad" samples={courses.failed} dim={dim} />
      <Figure
        label="Median wait"
        value={figures === null ? "…" : wait === null || wait === undefined ? "–" : lasting(wait)}
        says="How long the tasks of the last minute waited; – where none was given out"
        samples={courses.median}
        dim={dim}
      />
      <Figure
        label="Nodes online"
        value={figures === null ? "…" : `${count(figures.online)} of ${count(figures.nodes)}`}
        tone="go"
        samples={courses.online}
        dim={dim}
      />
    </Figures>
  );
}

function Soundings() {
  const { soundings, error, again } = useFleet();
  if (soundings === null) {
    return (
      <Panel title="Soundings">
        {error === null ? <Loading what="nodes" /> : <Failed what="nodes" error={error} again={() => void again()} />}
      </Panel>
    );
  }
  if (soundings.length === 0) {
    return (
      <Panel title="Soundings">
        <Empty title="There are no nodes yet.">
          <p>A node is a computer that runs your tasks. Make a token for the first one, on the server:</p>
          <p className="mono">anchor node token</p>
        </Empty>
      </Panel>
    );
  }
  return <FleetMap soundings={soundings} />;
}

function FollowedTask() {
  const running = useTasks({ state: "running" }, true).data?.pages[0]?.rows[0];
  return (
    <Panel title="Follow a task">
      {running === undefined ? (
        <p className="mute">Nothing runs at the moment.</p>
      ) : (
        <Tail key={running.id} id={running.id} name={running.name} node={running.nodeId} state={running.state} />
      )}
    </Panel>
  );
}

const TAIL_LINES = 5;

function Tail({ id, name, node, state }: { id: string; name: string; node: string | null; state: string }) {
  const { lines } = useLines(id);
  return (
    <div className={styles.tail}>
      <div className={styles.between}>
        <Link to="/tasks/$id" params={{ id }}>
          <bdi>{name || id}</bdi>
        </Link>
        <StateMark state={state} />
      </div>
      <p className="mono mute">
        {id}
        {node && ` on ${node}`}
      </p>
      <div className={styles.lines}>
        {lines.slice(-TAIL_LINES).map((line) => (
          <div key={line.key}>
            <bdi>{line.text}</bdi>
          </div>
        ))}
      </div>
    </div>
  );
}

function RunningApps() {
  const apps = useApps().data ?? [];
  if (apps.length === 0) return null;
  return (
    <Panel title="Running apps">
      <ul>
        {apps.map((app) => (
          <li key={app.id} className={`${styles.between} ${styles.app}`}>
            {app.urls[0] ? (
              <a href={app.urls[0]}>
                <bdi>{app.title || app.name}</bdi>
              </a>
            ) : (
              <bdi>{app.title || app.name}</bdi>
            )}
            <StateMark state={app.state} word={`${app.state}, ${app.ready} of ${app.wanted}`} />
          </li>
        ))}
      </ul>
    </Panel>
  );
}
