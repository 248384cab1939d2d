/** A state as shape, colour and word. */
import styles from "./StateMark.module.css";
import { lookOf, type Shape } from "./states";

const SHAPES: Record<Shape, React.ReactNode> = {
  ring: <circle cx="6" cy="6" r="4" fill="none" stroke="currentColor" strokeWidth="1.4" />,
  half: (
    <>
      <circle cx="6" cy="6" r="4.3" fill="none" stroke="currentColor" strokeWidth="1.4" />
      <path d="M6 1.7a4.3 4.3 0 0 0 0 8.6z" fill="currentColor" />
    </>
  ),
  disc: <circle cx="6" cy="6" r="4.6" fill="currentColor" />,
  diamond: <path d="M6 .6 11.4 6 6 11.4.6 6z" fill="currentColor" />,
  wreck: (
    <g fill="none" stroke="currentColor">
      <ellipse cx="6" cy="6" rx="5.4" ry="4" strokeDasharray="2 1.5" />
      <path d="M3 6h6M6 4v4" />
    </g>
  ),
  flag: <path d="M2.5 11.5V.8l7.5 3-7.5 3" fill="currentColor" stroke="currentColor" strokeWidth="1.2" />,
  bar: <path d="M1.5 6h9" stroke="currentColor" strokeWidth="2.4" />,
  cross: <path d="m2 2 8 8m0-8-8 8" stroke="currentColor" strokeWidth="2" />,
};

/** `word` replaces the state's own; `quiet` leaves it to readers of the screen only. */
export function StateMark({ state, word, quiet = false }: { state: string; word?: string; quiet?: boolean }) {
  const look = lookOf(state);
  return (
    <span className={`${styles.mark} ${styles[look.tone]}`}>
      <svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true">
        {SHAPES[look.shape]}
      </svg>
      <span className={quiet ? "unseen" : styles.word}>{word ?? look.word}</span>
    </span>
  );
}
