/** What a page says while it has nothing to show: loading, failed, empty; each in words, each different. */
import { Problem } from "../api/client";
import { Hint } from "./Hint";
import styles from "./Said.module.css";

/** It is on its way. */
export function Loading({ what }: { what: string }) {
  return (
    <p className={styles.said} role="status">
      Loading {what}…
    </p>
  );
}

/** It did not come, and why; `again` asks for it once more. */
export function Failed({ what, error, again }: { what: string; error: Error; again: () => void }) {
  const problem = error instanceof Problem ? error : null;
  return (
    <div className={styles.said} role="alert">
      <p>
        <b>Loading {what} failed.</b> {error.message}
      </p>
      {problem?.hint && (
        <p className="mute">
          <Hint says={problem.hint} />
        </p>
      )}
      {problem?.requestId && <p className="mute mono">{problem.requestId}</p>}
      {problem?.status !== 403 && (
        <button type="button" className="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

/** There is nothing, and what to do about it. */
export function Empty({ title, children }: { title: string; children?: React.ReactNode }) {
  return (
    <div className={styles.said}>
      <p>
        <b>{title}</b>
      </p>
      {children}
    </div>
  );
}

/** What is shown is old. */
export function NotLive({ since }: { since: number | null }) {
  const at = since === null ? "" : ` since ${new Date(since).toLocaleTimeString("en-GB")}`;
  return (
    <p className={styles.notLive} role="status">
      Not live{at}: the server is not heard. What you see is from before; this page goes on by itself.
    </p>
  );
}
