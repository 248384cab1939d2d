/** What somebody has to look at, the gravest first, with what is known about it and where it is looked into. */
import { Link } from "@tanstack/react-router";
import { useHealth } from "../../api/queries";
import { useSlow } from "../../fleet/slow";
import { useFleet } from "../../fleet/source";
import { Hint } from "../../ui/Hint";
import { Panel } from "../../ui/Panel";
import { Loading } from "../../ui/Said";
import { StateMark } from "../../ui/StateMark";
import { ago, at } from "../../ui/words";
import { type Need, needs } from "./needs";
import { useInconclusive, useLiveApps, useLiveCases } from "./queries";
import styles from "./Watch.module.css";

const SHOWN_MAX = 6;
const LOOK_MS = 1000;

export function NeedsYou({ inconclusive, stranded }: { inconclusive: number; stranded: number }) {
  const health = useHealth();
  const cases = useLiveCases();
  const apps = useLiveApps();
  const undecided = useInconclusive(inconclusive > 0);
  const { fleet, shape, known } = useFleet();
  // The fleet changes all the time; what of it needs somebody is looked at once a second.
  useSlow(() => fleet.version, LOOK_MS, shape);
  const all = needs({
    health: health.data,
    cases: cases.data,
    apps: apps.data,
    fleet,
    inconclusive: inconclusive > 0 ? undecided.data : [],
    stranded,
  });
  const pending = health.isPending || cases.isPending || apps.isPending || !known;
  return (
    <Panel title="Needs you">
      {all.slice(0, SHOWN_MAX).map((need) => (
        <One key={need.id} need={need} />
      ))}
      {all.length > SHOWN_MAX && <p className="mute">And {all.length - SHOWN_MAX} more.</p>}
      {all.length === 0 &&
        (pending ? <Loading what="what needs you" /> : <p className="mute">Nothing. All is well.</p>)}
    </Panel>
  );
}

function One({ need }: { need: Need }) {
  const { way } = need;
  return (
    <div className={styles.need}>
      <h3>
        <StateMark state={need.state} word={need.title} />
      </h3>
      <p>
        <bdi>{need.says}</bdi>
      </p>
      {need.hint && (
        <p className="mute">
          <Hint says={need.hint} />
        </p>
      )}
      <p className={styles.way}>
        <Link to={way.to} params={way.params ?? {}} search={way.search ?? {}}>
          {way.says}
        </Link>
        {need.since && (
          <span className="mute" title={at(need.since)}>
            {ago(need.since)}
          </span>
        )}
      </p>
    </div>
  );
}
