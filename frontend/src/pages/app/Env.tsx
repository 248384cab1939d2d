/** The variables of an app: their names, and new values for them, which nobody is shown again. */
import { useState } from "react";
import styles from "./App.module.css";
import { type AppView, setEnv, useChange } from "./queries";

const NAME = "[A-Za-z_][A-Za-z0-9_]{0,127}";

export function Env({ app, asked, may }: { app: AppView; asked: string; may: boolean }) {
  const [name, setName] = useState("");
  const [value, setValue] = useState("");
  const change = useChange<Record<string, string | null>>(
    asked,
    (changes) => setEnv(asked, changes),
    (changes) => `${Object.keys(changes).join(", ")} changed: that is a new release.`,
  );
  const set = (event: React.FormEvent) => {
    event.preventDefault();
    const done = () => {
      setName("");
      setValue("");
    };
    change.mutate({ [name]: value }, { onSuccess: done });
  };
  return (
    <div className={styles.part}>
      <p className="mute">
        Values are kept encrypted and shown to nobody again. Each change is a new release, so going back brings the old
        values back.
      </p>
      {app.env.length === 0 ? (
        <p>It has no variables of its own.</p>
      ) : (
        <ul className={styles.env} aria-label="Variables">
          {app.env.map((one) => (
            <li key={one}>
              <span className="mono">{one}</span>
              <span className="mute">set, not shown</span>
              {may && (
                <>
                  <button type="button" className="link" onClick={() => setName(one)}>
                    change<span className="unseen"> {one}</span>
                  </button>
                  <button
                    type="button"
                    className="link"
                    disabled={change.isPending}
                    onClick={() => change.mutate({ [one]: null })}
                  >
                    take away<span className="unseen"> {one}</span>
                  </button>
                </>
              )}
            </li>
          ))}
        </ul>
      )}
      {may ? (
        <form className={styles.scale} onSubmit={set}>
          <label>
            Name{" "}
            <input
              className="field mono"
              required
              pattern={NAME}
              title="letters, digits and _, like API_TOKEN"
              autoComplete="off"
              spellCheck={false}
              value={name}
              onChange={(event) => setName(event.target.value)}
            />
          </label>
          <label>
            Value{" "}
            <input
              className="field mono"
              type="password"
              autoComplete="new-password"
              value={value}
              onChange={(event) => setValue(event.target.value)}
            />
          </label>
          <button type="submit" className="button" disabled={change.isPending}>
            Set it
          </button>
        </form>
      ) : (
        <p className="mute">Your role only lets you look.</p>
      )}
    </div>
  );
}
