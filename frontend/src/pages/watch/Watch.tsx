/** Is it all right, and if not, where. */
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { type By, GROUPINGS } from "../../fleet/fleet";
import { useFleet } from "../../fleet/source";
import { useRoomPart } from "../../live/socket";
import { AsCurl } from "../../ui/AsCurl";
import { Page } from "../../ui/Page";
import { Panel } from "../../ui/Panel";
import { StateMark } from "../../ui/StateMark";
import { FollowedTask } from "./FollowedTask";
import { foldWatch } from "./figures";
import { NeedsYou } from "./NeedsYou";
import { RANGES, rangeOf, useLiveApps } from "./queries";
import { Soundings } from "./Soundings";
import { TaskStream } from "./TaskStream";
import { Tide } from "./Tide";
import styles from "./Watch.module.css";

export function Watch() {
  const search = useSearch({ strict: false }) as Partial<Record<"last" | "by" | "follow", string>>;
  const navigate = useNavigate();
  const minutes = rangeOf(search.last);
  const by = GROUPINGS.find((one) => one === search.by) ?? "site";
  const { fleet } = useFleet();
  const change = (name: string, value: string | undefined) => {
    const { [name]: _, ...others } = search as Record<string, string>;
    void navigate({ to: "/", search: value === undefined ? others : { ...others, [name]: value }, replace: true });
  };
  const inconclusive = useRoomPart("watch", foldWatch, (seen) => seen.picture?.counts.inconclusive ?? 0);
  const stranded = useRoomPart("watch", foldWatch, ({ picture }) =>
    picture?.figures.online === 0 ? picture.figures.waiting : 0,
  );
  return (
    <Page
      title="The watch"
      arranged={styles.watch}
      aside={
        <>
          <fieldset className={styles.choice}>
            <legend>last</legend>
            {RANGES.map(([range, word]) => (
              <button
                key={range}
                type="button"
                className="link"
                aria-pressed={minutes === range}
                onClick={() => change("last", range === 30 ? undefined : String(range))}
              >
                {word}
              </button>
            ))}
          </fieldset>
          <AsCurl path={`/api/queue/history?minutes=${minutes}`} />
        </>
      }
    >
      <Tide minutes={minutes} />
      <div className={styles.side}>
        <NeedsYou inconclusive={inconclusive} stranded={stranded} />
        <FollowedTask chosen={search.follow} choose={(id) => change("follow", id)} />
        <RunningApps />
      </div>
      <Soundings by={by} group={(next: By) => change("by", next === "site" ? undefined : next)} />
      <TaskStream fleet={fleet} />
    </Page>
  );
}

function RunningApps() {
  const apps = useLiveApps().data ?? [];
  if (apps.length === 0) return null;
  return (
    <Panel title="Running apps">
      <ul>
        {apps.map((app) => (
          <li key={app.id} className={`${styles.between} ${styles.app}`}>
            <Link to="/clusters/$id" params={{ id: app.id }}>
              <bdi>{app.title || app.name}</bdi>
            </Link>
            <StateMark
              state={app.state === "running" && app.ready >= app.wanted ? "succeeded" : app.state}
              word={`${app.ready} of ${app.wanted}`}
            />
          </li>
        ))}
      </ul>
    </Panel>
  );
}
