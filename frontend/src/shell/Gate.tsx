/** Lets in who may come in, and asks the others for a token. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Problem } from "../api/client";
import { signIn, useSession } from "../api/session";
import { Failed, Loading } from "../ui/Said";
import styles from "./Gate.module.css";

/** `open` is called once somebody is in. */
export function Gate({ open, children }: { open: () => void; children: React.ReactNode }) {
  const session = useSession();
  // A server that has no sessions lets local callers in without one; what they may not have, it refuses itself.
  const isIn = session.isSuccess || (session.error instanceof Problem && session.error.status === 404);
  useEffect(() => {
    if (isIn) open();
  }, [isIn, open]);
  if (isIn) return children;
  if (session.isPending) return <Loading what="who you are" />;
  if (session.error instanceof Problem && session.error.status === 401) return <SignIn />;
  return <Failed what="dashboard" error={session.error} again={() => void session.refetch()} />;
}

function SignIn() {
  const client = useQueryClient();
  const [refused, setRefused] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: React.FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const token = new FormData(event.currentTarget).get("token");
    setBusy(true);
    try {
      client.setQueryData(["session"], await signIn(String(token).trim()));
      await client.invalidateQueries();
    } catch (error) {
      setRefused(error as Problem);
    } finally {
      setBusy(false);
    }
  };
  return (
    <main className={styles.gate}>
      <h1>Anchor</h1>
      <p>This server wants to know who is asking.</p>
      <form className={styles.form} onSubmit={(event) => void submit(event)}>
        <label htmlFor="token">Token</label>
        <input
          id="token"
          name="token"
          type="password"
          className="field"
          autoComplete="current-password"
          required
          aria-describedby="token-hint"
        />
        <p id="token-hint" className="mute">
          An admin makes one with <span className="mono">anchor key create</span>. It stays on the server: this browser
          keeps a session of twelve hours only.
        </p>
        {refused && (
          <p role="alert" className={styles.refused}>
            {refused.message} {refused.hint}
          </p>
        )}
        <button type="submit" className="button main" disabled={busy}>
          Sign in
        </button>
      </form>
    </main>
  );
}
