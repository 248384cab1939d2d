/** At the foot of the page: whether what is shown is what is, and how it gets here. */
import type { Liveness } from "../api/liveness";
import { Pulse } from "./Pulse";
import styles from "./Shell.module.css";

export function HowLive({ liveness }: { liveness: Liveness }) {
  if (!liveness.live) return <span className={styles.lost}>◌ not live</span>;
  if (liveness.refused !== null) {
    return (
      <span className={styles.asking} title={liveness.refused}>
        ◐ asked every few seconds, without the live link
      </span>
    );
  }
  return (
    <>
      <span className={styles.live}>● live</span>
      <span className={styles.pulse}>
        <Pulse />
      </span>
    </>
  );
}
