/** A page: its title, what can be done with it, and the rest. */
import { useEffect } from "react";
import styles from "./Page.module.css";

interface PageProps {
  title: string;
  aside?: React.ReactNode;
  children: React.ReactNode;
  /** The last part of it takes the height that is left. */
  fill?: boolean;
  /** A class for a page that arranges its parts in a way of its own. */
  arranged?: string | undefined;
}

export function Page({ title, aside, children, fill = false, arranged = "" }: PageProps) {
  useEffect(() => {
    document.title = `${title} · Anchor`;
  }, [title]);
  return (
    <div className={`${styles.page} ${fill ? styles.fill : ""} ${arranged}`}>
      <div className={styles.head}>
        <h1 id="title">
          <bdi>{title}</bdi>
        </h1>
        {aside && <div className={styles.aside}>{aside}</div>}
      </div>
      {children}
    </div>
  );
}
