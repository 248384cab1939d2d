/** What somebody has to look at, the gravest first, with what is known about it. */
import { useApps, useHealth, useNodes, useOpenCases } from "../../api/queries";
import { Panel } from "../../ui/Panel";
import { Loading } from "../../ui/Said";
import { StateMark } from "../../ui/StateMark";
import { ago, at } from "../../ui/words";
import { type Need, needs } from "./needs";
import styles from "./Watch.module.css";

const SHOWN_MAX = 6;

export function NeedsYou() {
  const health = useHealth();
  const cases = useOpenCases();
  const nodes = useNodes();
  const apps = useApps();
  const all = needs(health.data, cases.data, apps.data, nodes.data);
  const pending = health.isPending || cases.isPending || nodes.isPending || apps.isPending;
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
  return (
    <div className={styles.need}>
      <h3>
        <StateMark state={need.state} word={need.title} />
      </h3>
      <p>
        <bdi>{need.says}</bdi>
      </p>
      {need.hint && <p className="mute">{need.hint}</p>}
      {need.since && (
        <p className="mute" title={at(need.since)}>
          {ago(need.since)}
        </p>
      )}
    </div>
  );
}
