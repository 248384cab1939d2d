/** Lets in who may come in, asks the others for a token, and asks again where a session ends in the middle of work. */
import { useEffect } from "react";
import { Problem } from "../api/client";
import { useSession, useTurnedAway } from "../api/session";
import { Dialog } from "../ui/Dialog";
import { Failed, Loading } from "../ui/Said";
import styles from "./Gate.module.css";
import { SignIn } from "./SignIn";

/** `open` is called whenever somebody has come in. */
export function Gate({ open, children }: { open: () => void; children: React.ReactNode }) {
  const session = useSession();
  const away = useTurnedAway();
  const known = session.data !== undefined;
  const isIn = known && !away;
  useEffect(() => {
    if (isIn) open();
  }, [isIn, open]);
  if (known)
    return (
      <>
        {children}
        {away && (
          <Dialog title="Sign in again">
            <p>Your session is over. Nothing of this page is lost: it goes on once you are in again.</p>
            <SignIn before={session.data} />
          </Dialog>
        )}
      </>
    );
  if (session.isPending)
    return (
      <main className={styles.gate}>
        <Loading what="who you are" />
      </main>
    );
  if (session.error instanceof Problem && session.error.status === 401)
    return (
      <main className={styles.gate}>
        <h1>Anchor</h1>
        <p>
          This is the server <b className="mono">{window.location.host}</b>. It wants to know who is asking.
        </p>
        <SignIn />
      </main>
    );
  return (
    <main className={styles.gate}>
      <h1>Anchor</h1>
      <Failed what="the dashboard" error={session.error} again={() => void session.refetch()} />
    </main>
  );
}
