/** Who is signed in here, what that may do, and the way out. */
import { useState } from "react";
import { ROLE_WORDS } from "../api/roles";
import { ROLES, signOut, useSession } from "../api/session";
import { Dialog } from "../ui/Dialog";
import { sayWhyNot } from "../ui/Toast";
import { at } from "../ui/words";
import styles from "./Account.module.css";

export function Account({ close }: { close: () => void }) {
  const session = useSession().data;
  const [busy, setBusy] = useState(false);
  const leave = async () => {
    setBusy(true);
    try {
      await signOut();
    } catch (error) {
      sayWhyNot(error as Error);
      setBusy(false);
    }
  };
  if (session === undefined) return null;
  const role = ROLES.find((one) => one === session.role);
  return (
    <Dialog title="Who you are" close={close}>
      <dl className={styles.facts}>
        <dt>Name</dt>
        <dd>
          <bdi>{session.name}</bdi>
        </dd>
        <dt>Role</dt>
        <dd>
          {session.role}
          {role && <p className="mute">{ROLE_WORDS[role]}</p>}
        </dd>
        <dt>Known by</dt>
        <dd>
          {session.by === "local" ? "being on the server's own machine, where nobody has to sign in" : "your session"}
        </dd>
        {session.expiresAt && (
          <>
            <dt>Until</dt>
            <dd>{at(session.expiresAt)}</dd>
          </>
        )}
      </dl>
      {session.by === "session" && (
        <div>
          <button type="button" className="button main" disabled={busy} onClick={() => void leave()}>
            Sign out
          </button>
        </div>
      )}
    </Dialog>
  );
}
