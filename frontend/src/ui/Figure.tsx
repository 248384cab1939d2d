/** One figure of a row of figures: what it counts, how much, and its course. */
import styles from "./Figure.module.css";
import { Sparkline } from "./Sparkline";
import type { Tone } from "./states";

export function Figures({ children }: { children: React.ReactNode }) {
  return <dl className={styles.figures}>{children}</dl>;
}

interface FigureProps {
  label: string;
  value: string;
  /** What the value means, where it is not plain. */
  says?: string;
  tone?: Tone;
  samples?: readonly number[];
  /** How many samples a whole course has. */
  room?: number;
  /** The value is old: the server is not heard. */
  dim?: boolean;
}

export function Figure({ label, value, says, tone, samples = [], room = 60, dim = false }: FigureProps) {
  return (
    <div className={styles.figure} title={says}>
      <dt className="label">{label}</dt>
      <dd className={`${styles.value} ${tone ? styles[tone] : ""} ${dim ? styles.dim : ""}`}>
        {value}
        <Sparkline samples={samples} room={room} />
      </dd>
    </div>
  );
}
