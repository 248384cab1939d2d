/** The steps a machine takes to become a node, each ticked as it is taken. */
import { at } from "../../ui/words";
import styles from "./AddNode.module.css";
import type { Step } from "./steps";

const WORDS: Record<Step["is"], string> = { done: "done", now: "under way", next: "to come" };

export function Steps({ steps }: { steps: readonly Step[] }) {
  return (
    <ol className={styles.steps} aria-label="Steps of the machine">
      {steps.map((step) => (
        <li key={step.key} className={styles[step.is]} data-step={step.key} data-is={step.is}>
          <svg width="14" height="14" viewBox="0 0 12 12" aria-hidden="true">
            {step.is === "done" ? (
              <path d="m2 6.5 3 3 5-7" fill="none" stroke="currentColor" strokeWidth="1.8" />
            ) : (
              <circle cx="6" cy="6" r="4.2" fill="none" stroke="currentColor" strokeWidth="1.4" />
            )}
            {step.is === "now" && <path d="M6 1.8a4.2 4.2 0 0 0 0 8.4z" fill="currentColor" />}
          </svg>
          <span>
            <bdi>{step.says}</bdi> <span className="unseen">({WORDS[step.is]})</span>
          </span>
          <time className="mono">{step.at === null ? "" : at(step.at)}</time>
        </li>
      ))}
    </ol>
  );
}
