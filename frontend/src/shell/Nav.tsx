/** The list of pages, how many there are of what they are about, and who is looking. */
import { Link } from "@tanstack/react-router";
import { useEffect } from "react";
import { may, useSession } from "../api/session";
import { count } from "../ui/words";
import { useCounts } from "./counts";
import styles from "./Nav.module.css";
import { needOf, PLACES } from "./places";

const GROUPS = [...new Set(PLACES.map((place) => place.group))];

interface NavProps {
  /** On a narrow screen it is shown when asked for. */
  shown: boolean;
  hide: () => void;
  account: () => void;
  children: React.ReactNode;
}

export function Nav({ shown, hide, account, children }: NavProps) {
  const counts = useCounts();
  const session = useSession().data;
  useEffect(() => {
    if (!shown) return;
    const pressed = (event: KeyboardEvent) => event.key === "Escape" && hide();
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [shown, hide]);
  const allowed = PLACES.filter((place) => may(session?.role, needOf(place.to)?.role ?? "viewer"));
  return (
    <nav id="nav" className={`${styles.nav} ${shown ? styles.shown : ""}`} aria-label="Pages">
      <div className={styles.actions}>{children}</div>
      {GROUPS.filter((group) => allowed.some((place) => place.group === group)).map((group) => (
        <div key={group} className={styles.group}>
          <span className={`label ${styles.title}`}>{group}</span>
          <ul>
            {allowed
              .filter((place) => place.group === group)
              .map((place) => (
                <li key={place.to}>
                  <Link
                    to={place.to}
                    className={styles.place}
                    activeProps={{ className: styles.here ?? "" }}
                    activeOptions={{ exact: place.to === "/", includeSearch: false }}
                  >
                    <span className={styles.word}>{place.word}</span>
                    <Count of={place.to} many={counts[place.to]} />
                    <kbd>{place.keys}</kbd>
                  </Link>
                </li>
              ))}
          </ul>
        </div>
      ))}
      {session !== undefined && (
        <button type="button" className={styles.account} onClick={account} aria-haspopup="dialog">
          <bdi>{session.name}</bdi> <span className="mute">{session.role}</span>
        </button>
      )}
    </nav>
  );
}

function Count({ of, many }: { of: string; many: number | undefined }) {
  if (many === undefined) return null;
  if (of !== "/cases") return <span className={styles.count}>{count(many)}</span>;
  if (many === 0) return null;
  return (
    <span className={`${styles.count} ${styles.open}`}>
      {count(many)} <span className="unseen">open</span>
    </span>
  );
}
