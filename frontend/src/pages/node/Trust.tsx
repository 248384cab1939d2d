/** How far a node is to be trusted: what its checked answers were, what went wrong on it, and the cases it is in. */
import { Link } from "@tanstack/react-router";
import type { NodeView } from "../../api/client";
import { Panel } from "../../ui/Panel";
import { StateMark } from "../../ui/StateMark";
import { ago, count } from "../../ui/words";
import styles from "./Node.module.css";
import { useCasesOf } from "./queries";

const CAUSES: Record<string, string> = {
  task: "the task's",
  node: "the node's",
  network: "the network's",
  owner: "given back by its owner",
};

export function Trust({ node }: { node: NodeView }) {
  const cases = useCasesOf(node.nodeId);
  const standing = Object.entries(node.standing ?? {}).sort();
  const faults = Object.entries(node.faults ?? {}).filter(([, many]) => many > 0);
  return (
    <Panel title="Trust" aside={<Link to="/cases">All cases</Link>}>
      <div className={styles.sheet}>
        {standing.length === 0 ? (
          <p>None of its answers was compared with another node's yet.</p>
        ) : (
          <ul>
            {standing.map(([runtime, one]) => (
              <li key={runtime}>
                <b>{runtime}</b>: relied on to {Math.round(one.reliability * 100)} %, {count(Math.round(one.right))}{" "}
                right,{" "}
                {one.wrong >= 0.5 ? (
                  <StateMark state="flagged" word={`${count(Math.round(one.wrong))} wrong`} />
                ) : (
                  "none wrong"
                )}
                , {count(one.rightInRow)} right in a row
              </li>
            ))}
          </ul>
        )}
        <p>
          {faults.length === 0
            ? "Nothing went wrong on it."
            : `What went wrong on it, by whose fault: ${faults.map(([cause, many]) => `${CAUSES[cause] ?? cause} ${count(many)}`).join(", ")}.`}
        </p>
        {cases.data?.map((one) => (
          <p key={one.id} className={styles.case}>
            <StateMark state={one.state === "open" ? "flagged" : "stopped"} word={one.state} />{" "}
            <Link to="/cases/$id" params={{ id: one.id }}>
              <bdi>{one.taskName || one.taskId}</bdi>
            </Link>{" "}
            <span className="mute">{ago(one.openedAt)}</span>
          </p>
        ))}
        {cases.isError && <p className="mute">Its cases could not be read: {cases.error.message}</p>}
      </div>
    </Panel>
  );
}
