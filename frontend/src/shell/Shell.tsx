/** What is around every page: header, navigation, whether it is live, and the keyboard. */
import { Outlet, useNavigate, useRouterState } from "@tanstack/react-router";
import { useCallback, useEffect, useRef, useState } from "react";
import { useLiveness } from "../api/liveness";
import { may, useSession } from "../api/session";
import { holdKeys, releaseKeys, useKeys } from "../keyboard/keys";
import { NotLive } from "../ui/Said";
import { say, Toasts } from "../ui/Toast";
import { Actions, Header } from "./Header";
import { HowLive } from "./HowLive";
import { Nav } from "./Nav";
import { NotAllowed } from "./NotAllowed";
import { needOf, PLACES } from "./places";
import styles from "./Shell.module.css";
import { ThemeSwitch } from "./ThemeSwitch";

type Window = React.ComponentType<{ close: () => void }>;

const WINDOWS = {
  palette: () => import("./CommandPalette").then((file): Window => file.CommandPalette),
  help: () => import("./Help").then((file): Window => file.Help),
  account: () => import("./Account").then((file): Window => file.Account),
};

export function Shell() {
  const [Over, setOver] = useState<Window | null>(null);
  const [navShown, setNavShown] = useState(false);
  const navigate = useNavigate();
  const liveness = useLiveness();
  const role = useSession().data?.role;
  const main = useRef<HTMLElement>(null);
  const path = useRouterState({ select: (state) => state.location.pathname });
  const shownPath = useRef(path);
  useEffect(() => {
    if (shownPath.current === path) return;
    shownPath.current = path;
    setNavShown(false);
    main.current?.scrollTo(0, 0);
    // What had the focus went with the page before: whoever does not see is told where this is, and Tab goes on from here.
    if (document.activeElement === document.body) main.current?.focus({ preventScroll: true });
  }, [path]);
  const open = (which: keyof typeof WINDOWS) => () => {
    if (Over === null) holdKeys();
    void WINDOWS[which]().then(
      (shown) => setOver(() => shown),
      () => {
        releaseKeys();
        say("The server does not answer, and this part of the dashboard is still there.", true);
      },
    );
  };
  // A window that takes what was typed on the way has done so by now.
  useEffect(() => {
    if (Over !== null) releaseKeys();
  }, [Over]);
  const hideNav = useCallback(() => setNavShown(false), []);
  const allowed = (to: string) => may(role, needOf(to)?.role ?? "viewer");
  useKeys(
    [
      ...PLACES.filter((place) => allowed(place.to)).map((place) => ({
        keys: place.keys,
        says: place.word,
        run: () => navigate({ to: place.to }),
      })),
      { keys: "/", says: "search tasks", run: () => document.getElementById("search")?.focus() },
      ...(allowed("/tasks/new") ? [{ keys: "n", says: "run a task", run: () => navigate({ to: "/tasks/new" }) }] : []),
      { keys: "mod+k", says: "commands", run: open("palette") },
      { keys: "?", says: "the list of keys", run: open("help") },
    ],
    "everywhere",
  );
  const need = needOf(path);
  return (
    <div className={styles.shell}>
      <button type="button" className={`button ${styles.skip}`} onClick={() => main.current?.focus()}>
        Skip to the page
      </button>
      <Header commands={open("palette")} navShown={navShown} toggleNav={() => setNavShown(!navShown)} />
      <Nav shown={navShown} hide={hideNav} account={open("account")}>
        <Actions />
      </Nav>
      <main id="main" ref={main} className={styles.main} tabIndex={-1} aria-labelledby="title">
        {!liveness.live && <NotLive since={liveness.since} />}
        <div className={liveness.live ? styles.page : `${styles.page} ${styles.stale}`}>
          {need !== null && !may(role, need.role) ? <NotAllowed title={need.word} needed={need.role} /> : <Outlet />}
        </div>
      </main>
      <footer className={styles.footer}>
        <HowLive liveness={liveness} />
        <span className={styles.space} />
        <button type="button" className="link" onClick={open("help")}>
          ? for keys
        </button>
        <ThemeSwitch />
      </footer>
      <Toasts />
      {Over !== null && <Over close={() => setOver(null)} />}
    </div>
  );
}
