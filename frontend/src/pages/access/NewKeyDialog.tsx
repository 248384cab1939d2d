/** Give somebody a key: a name, a role, for how long; then its secret, shown this once. */
import { useState } from "react";
import { ROLE_WORDS } from "../../api/roles";
import { ROLES, type Role } from "../../api/session";
import { copy } from "../../ui/AsCurl";
import { Dialog, Leave } from "../../ui/Dialog";
import { first } from "../../ui/first";
import styles from "./Access.module.css";
import { useNewKey } from "./queries";

const LASTS: readonly (readonly [string, number | null])[] = [
  ["until it is revoked", null],
  ["1 day", 1],
  ["7 days", 7],
  ["30 days", 30],
  ["90 days", 90],
  ["a year", 365],
];

export function NewKeyDialog({ close }: { close: () => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("submitter");
  const [days, setDays] = useState<number | null>(90);
  const made = useNewKey();
  if (made.data !== undefined) {
    const { token } = made.data;
    return (
      <Dialog title={`A key for ${made.data.name}`} close={close}>
        <p>
          <b>This is the only time it is shown.</b> Only its digest is kept here; give it to {made.data.name} now.
        </p>
        <pre className={styles.secret} tabIndex={0}>
          {token}
        </pre>
        <p className="mute">
          In a terminal: <span className="mono">export ANCHOR_TOKEN=…</span>; in a browser: the page that asks for a
          key.
        </p>
        <div className={styles.buttons}>
          <button type="button" className="button main" onClick={() => void copy(token)}>
            Copy
          </button>
          <button type="button" className="button" onClick={close}>
            It is kept
          </button>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog title="New key" close={close}>
      <form
        className={styles.form}
        onSubmit={(event) => {
          event.preventDefault();
          made.mutate({ name: name.trim(), role, days });
        }}
      >
        <label>
          <span className="label">Who will use it</span>
          <input
            className="field"
            value={name}
            required
            maxLength={100}
            autoComplete="off"
            onChange={(event) => setName(event.target.value)}
            ref={first}
          />
          <span className="mute">Tasks belong to this name: two keys of one name see the same tasks.</span>
        </label>
        <fieldset className={styles.roles}>
          <legend className="label">What it may do</legend>
          {ROLES.map((one) => (
            <label key={one} className={styles.role}>
              <input type="radio" name="role" checked={one === role} onChange={() => setRole(one)} />
              <span>
                <b>{one}</b> <span className="mute">{ROLE_WORDS[one]}</span>
              </span>
            </label>
          ))}
        </fieldset>
        <label>
          <span className="label">It lasts</span>
          <select
            className="field"
            value={days === null ? "" : days}
            onChange={(event) => setDays(event.target.value === "" ? null : Number(event.target.value))}
          >
            {LASTS.map(([word, value]) => (
              <option key={word} value={value ?? ""}>
                {word}
              </option>
            ))}
          </select>
        </label>
        {made.isError && (
          <p role="alert" className={styles.wrong}>
            {made.error.message} {"hint" in made.error && String(made.error.hint)}
          </p>
        )}
        <div className={styles.buttons}>
          <button type="submit" className="button main" disabled={made.isPending}>
            Make the key
          </button>
          <Leave close={close} />
        </div>
      </form>
    </Dialog>
  );
}
