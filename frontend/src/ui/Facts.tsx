/** Facts of one thing, each under its name, in a row that breaks where the page ends. */
import styles from "./Facts.module.css";

export function Facts({ children }: { children: React.ReactNode }) {
  return <dl className={styles.facts}>{children}</dl>;
}

/** `className` is for one that wants a width of its own. */
export function Fact({
  name,
  className,
  children,
}: {
  name: string;
  className?: string | undefined;
  children: React.ReactNode;
}) {
  return (
    <div className={className}>
      <dt className="label">{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
