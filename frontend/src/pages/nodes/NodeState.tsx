/** The state of a node in words; one that gets no more work, too, says so beside what is graver. */
import { StateMark } from "../../ui/StateMark";
import styles from "./Nodes.module.css";

export function NodeState({ mark, alsoDrains }: { mark: string; alsoDrains: boolean }) {
  if (!alsoDrains) return <StateMark state={mark} />;
  return (
    <span className={styles.both}>
      <StateMark state={mark} /> <StateMark state="draining" />
    </span>
  );
}
