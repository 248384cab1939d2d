/** The form that exchanges a token for a session, and a word of warning where others can read along. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { Problem } from "../api/client";
import { openedElsewhere, type Session, signIn } from "../api/session";
import { Hint } from "../ui/Hint";
import styles from "./Gate.module.css";

const HERE = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** Whether what this page sends can be read on its way. */
function isReadable(place: { protocol: string; hostname: string }): boolean {
  return place.protocol === "http:" && !HERE.has(place.hostname);
}

/** `before`: whose session was open here until now. */
export function SignIn({ before }: { before?: Session }) {
  const client = useQueryClient();
  const [refused, setRefused] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const enter = async (session: Session) => {
    // What was on the screen was somebody else's.
    if (before !== undefined && (before.name !== session.name || before.role !== session.role)) location.reload();
    client.setQueryData(["session"], session);
    await client.invalidateQueries({ predicate: (query) => query.queryKey[0] !== "session" });
  };
  // Whoever has signed in in another tab need not do so again in this one.
  useEffect(() => {
    const look = () => void openedElsewhere().then((session) => session && enter(session));
    window.addEventListener("focus", look);
    return () => window.removeEventListener("focus", look);
  });
  const submit = async (event: React.FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const token = new FormData(event.currentTarget).get("token");
    setBusy(true);
    try {
      await enter(await signIn(String(token).trim()));
    } catch (error) {
      setRefused(error as Problem);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <form className={styles.form} onSubmit={(event) => void submit(event)}>
        <label htmlFor="token">Token</label>
        <input
          id="token"
          name="token"
          type="password"
          className="field"
          autoComplete="current-password"
          required
          aria-invalid={refused !== null}
          aria-describedby={refused === null ? "token-hint" : "token-refused"}
        />
        {refused !== null && (
          <p id="token-refused" role="alert" className={styles.refused}>
            {refused.message} <Hint says={refused.hint} />
          </p>
        )}
        <button type="submit" className="button main" disabled={busy}>
          Sign in
        </button>
      </form>
      <p id="token-hint" className="mute">
        An admin makes one under <i>Keys and people</i>, or with <span className="mono">anchor key create</span>; the
        very first is in the file <span className="mono">admin-token</span> of the server's data directory. This browser
        does not keep it: what it keeps is a session of twelve hours at most.
      </p>
      {isReadable(window.location) && (
        <p className={styles.warning}>
          <b>This connection is not encrypted.</b> Whoever is on the way between you and the server can read the token
          and all you see. Put HTTPS in front of the server, as the folder <span className="mono">deploy/nginx</span> of
          Anchor's source shows, before you use it over a network you do not trust.
        </p>
      )}
    </>
  );
}
