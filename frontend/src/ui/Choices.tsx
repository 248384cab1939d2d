/** Buttons of which one may be pressed: what a list shows, with how many there are of each. */
import styles from "./Choices.module.css";

export function Choices({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <div className={styles.choices} role="toolbar" aria-label={label}>
      {children}
    </div>
  );
}

interface ChoiceProps {
  chosen: boolean;
  choose: () => void;
  /** The state it stands for, where it is one. */
  state?: string;
  children: React.ReactNode;
}

export function Choice({ chosen, choose, state, children }: ChoiceProps) {
  return (
    <button type="button" className={styles.choice} aria-pressed={chosen} data-state={state} onClick={choose}>
      {children}
    </button>
  );
}
