/** Day or night, by hand. */
import { useSyncExternalStore } from "react";
import { choose, current } from "../theme/theme";
import styles from "./Shell.module.css";

export function ThemeSwitch() {
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
