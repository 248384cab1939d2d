/** Why a task waits, and what would change that, in the words of every node. */
import { Link } from "@tanstack/react-router";
import { Hint } from "../../ui/Hint";
import looks from "../../ui/looks.module.css";
import { count } from "../../ui/words";
import { useWhy } from "./queries";
import styles from "./Task.module.css";
import { Node } from "./WhereItRan";

const NODES_SHOWN = 50;

export function Why({ id }: { id: string }) {
  const why = useWhy(id);
  if (why.data === undefined) return null;
  const { reason, changes, waitsFor, nodes } = why.data;
  const lacking = nodes.filter((node) => node.unmet !== null);
  return (
    <section className={`${looks.note} ${looks.lines} ${looks.warn} ${styles.why}`} aria-label="Why it waits">
      <p>
        <b>{reason.message}</b> <Hint says={reason.hint} />
      </p>
      {changes.length > 0 && (
        <ul className={styles.changes}>
          {changes.map((change) => (
            <li key={change}>
              <Hint says={change} />
            </li>
          ))}
        </ul>
      )}
      {waitsFor.length > 0 && (
        <p>
          It waits for{" "}
          {waitsFor.map((one, at) => (
            <span key={one}>
              {at > 0 && ", "}
              <Link to="/tasks/$id" params={{ id: one }} className="mono">
                {one}
              </Link>
            </span>
          ))}
        </p>
      )}
      {lacking.length > 0 && (
        <details>
          <summary>
            What {lacking.length === 1 ? "the node" : `${count(lacking.length)} nodes`} that cannot take it{" "}
            {lacking.length === 1 ? "says" : "say"}
          </summary>
          <ul>
            {lacking.slice(0, NODES_SHOWN).map((node) => (
              <li key={node.nodeId}>
                <span className="mono">
                  <Node id={node.nodeId} />
                </span>{" "}
                {node.lacks.join("; ")}
              </li>
            ))}
          </ul>
          {lacking.length > NODES_SHOWN && <p className="mute">and {count(lacking.length - NODES_SHOWN)} more</p>}
        </details>
      )}
    </section>
  );
}
