/** The top of every page: whose server this is, the search, and what one does most. */
import { Link, useNavigate, useRouterState } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { useMay } from "../api/session";
import styles from "./Header.module.css";
import { placeOfId } from "./places";

const MOD = navigator.platform.startsWith("Mac") ? "⌘K" : "Ctrl K";

interface HeaderProps {
  commands: () => void;
  navShown: boolean;
  toggleNav: () => void;
}

export function Header({ commands, navShown, toggleNav }: HeaderProps) {
  return (
    <header className={styles.header}>
      <Link to="/" className={styles.name} aria-label="Anchor, the watch">
        <Anchor /> <span>Anchor</span>
      </Link>
      <span className={styles.server}>{window.location.host}</span>
      <Search />
      <span className={styles.space} />
      <button type="button" className={styles.commands} onClick={commands}>
        Commands <kbd>{MOD}</kbd>
      </button>
      <span className={styles.actions}>
        <Actions />
      </span>
      <button
        type="button"
        className={`button ${styles.navButton}`}
        aria-expanded={navShown}
        aria-controls="nav"
        onClick={toggleNav}
      >
        Pages
      </button>
    </header>
  );
}

/** What one does most, for those who may. */
export function Actions() {
  const mayAdd = useMay("operator");
  const mayRun = useMay("submitter");
  return (
    <>
      {mayAdd && (
        <Link to="/nodes/add" className="button">
          Add a node
        </Link>
      )}
      {mayRun && (
        <Link to="/tasks/new" className="button main" aria-keyshortcuts="n">
          Run a task
        </Link>
      )}
    </>
  );
}

function Search() {
  const navigate = useNavigate();
  const asked = useRouterState({
    select: (state) =>
      state.location.pathname === "/tasks" ? ((state.location.search as { q?: string }).q ?? "") : "",
  });
  const [text, setText] = useState(asked);
  useEffect(() => setText(asked), [asked]);
  const search = (event: React.FormEvent) => {
    event.preventDefault();
    const wanted = text.trim();
    const place = placeOfId(wanted);
    if (place !== null) void navigate({ to: place });
    else void navigate({ to: "/tasks", search: wanted === "" ? {} : { q: wanted } });
    (document.activeElement as HTMLElement | null)?.blur();
  };
  return (
    <form className={styles.search} onSubmit={search}>
      <search>
        <label className="unseen" htmlFor="search">
          Search tasks
        </label>
        <input
          id="search"
          className={`field ${styles.searchField}`}
          value={text}
          placeholder="state:failed runtime:wasm age:<1h"
          autoComplete="off"
          spellCheck={false}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
        />
        <kbd>/</kbd>
      </search>
    </form>
  );
}

function Anchor() {
  return (
    <svg
      width="22"
      height="26"
      viewBox="0 0 22 26"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.6"
      aria-hidden="true"
    >
      <circle cx="11" cy="4" r="2.6" />
      <path d="M11 7v17M6 10h10M2 15c1 6 5 9 9 9s8-3 9-9M2 15l-1 4M2 15l3 3M20 15l1 4M20 15l-3 3" />
    </svg>
  );
}
