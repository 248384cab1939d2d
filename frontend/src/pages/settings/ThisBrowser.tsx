/** What this browser alone keeps: theme, how close rows are, whether things move; and who is signed in. */
import { useState } from "react";
import { signOut, useSession } from "../../api/session";
import { chooseCalm, chooseDensity, chosenCalm, DENSITIES, density } from "../../theme/density";
import { choose, chosen } from "../../theme/theme";
import { Panel } from "../../ui/Panel";
import { sayWhyNot } from "../../ui/Toast";
import styles from "./Settings.module.css";

const THEMES = [
  ["day", "day"],
  ["night", "night"],
  [null, "as the system says"],
] as const;

export function ThisBrowser() {
  const [theme, setTheme] = useState(chosen());
  const [rows, setRows] = useState(density());
  const [calm, setCalm] = useState(chosenCalm());
  return (
    <Panel title="This browser">
      <div className={styles.choices}>
        <fieldset>
          <legend className="label">Theme</legend>
          {THEMES.map(([one, word]) => (
            <label key={word}>
              <input
                type="radio"
                name="theme"
                checked={theme === one}
                onChange={() => {
                  choose(one);
                  setTheme(one);
                }}
              />
              {word}
            </label>
          ))}
        </fieldset>
        <fieldset>
          <legend className="label">Rows</legend>
          {DENSITIES.map((one) => (
            <label key={one}>
              <input
                type="radio"
                name="rows"
                checked={rows === one}
                onChange={() => {
                  chooseDensity(one);
                  setRows(one);
                }}
              />
              {one}
            </label>
          ))}
        </fieldset>
        <fieldset>
          <legend className="label">Task stream</legend>
          <label>
            <input
              type="checkbox"
              checked={calm}
              onChange={(event) => {
                chooseCalm(event.target.checked);
                setCalm(event.target.checked);
              }}
            />
            steps once a second instead of gliding
          </label>
        </fieldset>
        <Who />
      </div>
    </Panel>
  );
}

function Who() {
  const session = useSession().data;
  if (session === undefined) return null;
  return (
    <fieldset>
      <legend className="label">Signed in</legend>
      <span>
        as <bdi>{session.name}</bdi>, {session.role}
        {session.by === "local" && ": on its own machine this server asks for no key"}
      </span>
      {session.by === "session" && (
        <button type="button" className="button" onClick={() => void signOut().catch(sayWhyNot)}>
          Sign out
        </button>
      )}
    </fieldset>
  );
}
