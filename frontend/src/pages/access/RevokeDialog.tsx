/** Take a key or a join token back: what that does, said before. */
import { Dialog, Leave } from "../../ui/Dialog";
import { say } from "../../ui/Toast";
import { many } from "../../ui/words";
import styles from "./Access.module.css";
import { type Key, useRevoke } from "./queries";

export function RevokeDialog({ of, close }: { of: Key; close: () => void }) {
  const revoke = useRevoke();
  const isToken = of.kind === "join";
  return (
    <Dialog title={isToken ? "Revoke this join token?" : `Revoke this key of ${of.name}?`} close={close}>
      {isToken ? (
        <p>No machine can join with it from now on. Machines that joined already stay.</p>
      ) : (
        <p>
          Whatever uses it is refused from now on
          {of.sessions > 0 && `, and ${many(of.sessions, "browser is", "browsers are")} signed out`}. The tasks of{" "}
          <bdi>{of.name}</bdi> stay and go on. It cannot be undone; another key of the same name sees the same tasks.
        </p>
      )}
      <p className="mute">
        Its id is <span className="mono">{of.id}</span>.
      </p>
      {revoke.isError && (
        <p role="alert" className={styles.wrong}>
          {revoke.error.message}
        </p>
      )}
      <div className={styles.buttons}>
        <button
          type="button"
          className="button main"
          disabled={revoke.isPending}
          onClick={() =>
            revoke.mutate(of.id, {
              onSuccess: () => {
                say(isToken ? "The join token is revoked." : `The key of ${of.name} is revoked.`);
                close();
              },
            })
          }
        >
          Revoke it
        </button>
        <Leave close={close} />
      </div>
    </Dialog>
  );
}
