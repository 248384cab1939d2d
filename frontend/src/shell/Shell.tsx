/** What is around every page: name, search, navigation, whether it is live, and the keyboard. */
import { Link, Outlet, useNavigate, useRouterState } from "@tanstack/react-router";
import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import { useLiveness } from "../live/liveness";
import { isTaskId } from "../pages/tasks/query";
import { choose, current } from "../theme/theme";
import { NotLive } from "../ui/Said";
import { Toasts } from "../ui/Toast";
import { CommandPalette } from "./CommandPalette";
import { Help } from "./Help";
import { useKeys } from "./keys";
import { PLACES } from "./places";
import styles from "./Shell.module.css";

const MOD = navigator.platform.startsWith("Mac") ? "⌘K" : "Ctrl K";

export function Shell() {
  const [over, setOver] = useState<"palette" | "help" | null>(null);
  const [navShown, setNavShown] = useState(false);
  const navigate = useNavigate();
  const liveness = useLiveness();
  const main = useRef<HTMLElement>(null);
  const path = useRouterState({ select: (state) => state.location.pathname });
  // biome-ignore lint/correctness/useExhaustiveDependencies: another page is what it waits for
  useEffect(() => setNavShown(false), [path]);
  useKeys([
    ...PLACES.map((place) => ({ keys: place.keys, says: place.word, run: () => navigate({ to: place.to }) })),
    { keys: "/", says: "search tasks", run: () => document.getElementById("search")?.focus() },
    { keys: "mod+k", says: "commands", run: () => setOver("palette") },
    { keys: "?", says: "this list", run: () => setOver("help") },
  ]);
  return (
    <div className={styles.shell}>
      <button type="button" className={`button ${styles.skip}`} onClick={() => main.current?.focus()}>
        Skip to the page
      </button>
      <header className={styles.header}>
        <Link to="/" className={styles.name}>
          <Anchor /> Anchor
        </Link>
        <Search />
        <span className={styles.space} />
        <button type="button" className={styles.commands} onClick={() => setOver("palette")}>
          Commands <kbd>{MOD}</kbd>
        </button>
        <button
          type="button"
          className={`button ${styles.navButton}`}
          aria-expanded={navShown}
          aria-controls="nav"
          onClick={() => setNavShown(!navShown)}
        >
          Pages
        </button>
      </header>
      <nav id="nav" className={`${styles.nav} ${navShown ? styles.navShown : ""}`} aria-label="Pages">
        {[...new Set(PLACES.map((place) => place.group))].map((group) => (
          <div key={group}>
            <span className={`label ${styles.group}`}>{group}</span>
            <ul>
              {PLACES.filter((place) => place.group === group).map((place) => (
                <li key={place.to}>
                  <Link
                    to={place.to}
                    className={styles.place}
                    activeProps={{ className: styles.here ?? "" }}
                    activeOptions={{ exact: place.to === "/" }}
                  >
                    {place.word} <kbd>{place.keys}</kbd>
                  </Link>
                </li>
              ))}
            </ul>
          </div>
        ))}
      </nav>
      <main id="main" ref={main} className={styles.main} tabIndex={-1}>
        {!liveness.live && <NotLive since={liveness.since} />}
        <Outlet />
      </main>
      <footer className={styles.footer}>
        <span className={liveness.live ? styles.live : styles.lost}>{liveness.live ? "● live" : "◌ not live"}</span>
        <span className={styles.space} />
        <button type="button" className="link" onClick={() => setOver("help")}>
          ? for keys
        </button>
        <ThemeSwitch />
      </footer>
      <Toasts />
      {over === "palette" && <CommandPalette close={() => setOver(null)} />}
      {over === "help" && <Help close={() => setOver(null)} />}
    </div>
  );
}

function Search() {
  const navigate = useNavigate();
  const asked = useRouterState({ select: (state) => (state.location.search as { q?: string }).q ?? "" });
  const [text, setText] = useState(asked);
  useEffect(() => setText(asked), [asked]);
  const search = (event: React.FormEvent) => {
    event.preventDefault();
    const wanted = text.trim();
    if (isTaskId(wanted)) void navigate({ to: "/tasks/$id", params: { id: wanted } });
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
          placeholder="state:failed label:render, or an id"
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

function ThemeSwitch() {
  const theme = useSyncExternalStore(
    (listener) => {
      window.addEventListener("anchor:theme", listener);
      return () => window.removeEventListener("anchor:theme", listener);
    },
    () => current(),
  );
  return (
    <fieldset className={styles.theme}>
      <legend className="unseen">Theme</legend>
      {(["day", "night"] as const).map((one) => (
        <button
          key={one}
          type="button"
          className={styles.themeButton}
          aria-pressed={theme === one}
          onClick={() => choose(one)}
        >
          {one}
        </button>
      ))}
    </fieldset>
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
