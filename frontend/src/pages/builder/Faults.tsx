/** Whether the workflow can run, or what is in the way: each fault leads to the step it is about. */
import { many } from "../../ui/words";
import styles from "./Builder.module.css";
import type { Fault } from "./faults";

const SHOWN_MAX = 5;

interface FaultsProps {
  faults: readonly Fault[];
  /** The server has nothing against it. */
  checked: boolean;
  steps: number;
  choose: ((step: number) => void) | null;
}

export function Faults({ faults, checked, steps, choose }: FaultsProps) {
  return (
    <div className={styles.faults} role="status" aria-label="Check">
      {faults.length === 0 && (
        <p className={checked ? styles.valid : "mute"}>
          {checked ? `Valid: ${many(steps, "step")}, ready to schedule.` : "Checking…"}
        </p>
      )}
      {faults.length > 0 && (
        <ul className={steps === 0 ? styles.nothing : undefined}>
          {faults.slice(0, SHOWN_MAX).map((fault) => (
            <li key={`${fault.step} ${fault.says}`}>
              <bdi>{fault.says}</bdi>{" "}
              {fault.step >= 0 && choose !== null && (
                <button type="button" className="link" onClick={() => choose(fault.step)}>
                  show
                </button>
              )}
            </li>
          ))}
          {faults.length > SHOWN_MAX && <li>and {faults.length - SHOWN_MAX} more.</li>}
        </ul>
      )}
    </div>
  );
}
