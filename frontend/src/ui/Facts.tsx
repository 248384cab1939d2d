/** Facts of one thing, each under its name, in a row that breaks where the page ends. */
import styles from "./Facts.module.css";

export function Facts({ children }: { children: React.ReactNode }) {
  return <dl className={styles.facts}>{children}</dl>;
}

export function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div>
      <dt className="label">{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
