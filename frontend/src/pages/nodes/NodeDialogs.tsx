/** The windows in which one says why nodes are blocked, and what they are labelled. */
import { useId, useState } from "react";
import { Dialog, Leave } from "../../ui/Dialog";
import { first } from "../../ui/first";
import { count } from "../../ui/words";
import styles from "./Nodes.module.css";

const NAMED_MAX = 3;

/** "REX-A1B2C3, PIX-0QW3ER and 4 more". */
export function namesOf(ids: readonly string[]): string {
  const more = ids.length - NAMED_MAX;
  return more > 0 ? `${ids.slice(0, NAMED_MAX).join(", ")} and ${count(more)} more` : ids.join(", ");
}

interface BlockProps {
  ids: readonly string[];
  close: () => void;
  block: (reason: string) => void;
}

export function BlockDialog({ ids, close, block }: BlockProps) {
  const [reason, setReason] = useState("");
  const field = useId();
  const submit = (event: React.FormEvent) => {
    event.preventDefault();
    block(reason.trim());
    close();
  };
  return (
    <Dialog title={ids.length === 1 ? `Block ${ids[0]}` : `Block ${count(ids.length)} nodes`} close={close}>
      <form className={styles.form} onSubmit={submit}>
        <p>
          {ids.length > 1 ? (
            <>
              <span className="mono">{namesOf(ids)}</span> get no work until you take them back. What runs on them now
              is run elsewhere.
            </>
          ) : (
            "It gets no work until you take it back. What runs on it now is run elsewhere."
          )}
        </p>
        <label htmlFor={field}>Why? Others read it on the node and in the events.</label>
        <input
          id={field}
          className="field"
          value={reason}
          ref={first}
          maxLength={300}
          required
          autoComplete="off"
          onChange={(event) => setReason(event.target.value)}
        />
        <div className={styles.buttons}>
          <button type="submit" className="button main" disabled={reason.trim() === ""}>
            {ids.length === 1 ? `Block ${ids[0]}` : `Block ${count(ids.length)} nodes`}
          </button>
          <Leave close={close} />
        </div>
      </form>
    </Dialog>
  );
}

interface LabelProps {
  ids: readonly string[];
  close: () => void;
  /** Labels to give, and those to take away. */
  label: (add: readonly string[], remove: ReadonlySet<string>) => void;
}

export function LabelDialog({ ids, close, label }: LabelProps) {
  const [add, setAdd] = useState("");
  const [remove, setRemove] = useState("");
  const field = useId();
  const submit = (event: React.FormEvent) => {
    event.preventDefault();
    label(labelsIn(add), new Set(labelsIn(remove)));
    close();
  };
  return (
    <Dialog title={ids.length === 1 ? `Label ${ids[0]}` : `Label ${count(ids.length)} nodes`} close={close}>
      <form className={styles.form} onSubmit={submit}>
        <p>Tasks and apps can ask for a label. Several are separated by commas. What a machine says of itself stays.</p>
        <label htmlFor={`${field}-add`}>Give</label>
        <input
          id={`${field}-add`}
          className="field"
          value={add}
          ref={first}
          placeholder="site:Vigo, gpu-lab"
          autoComplete="off"
          onChange={(event) => setAdd(event.target.value)}
        />
        <label htmlFor={`${field}-remove`}>Take away</label>
        <input
          id={`${field}-remove`}
          className="field"
          value={remove}
          autoComplete="off"
          onChange={(event) => setRemove(event.target.value)}
        />
        <div className={styles.buttons}>
          <button type="submit" className="button main" disabled={add.trim() === "" && remove.trim() === ""}>
            Label
          </button>
          <Leave close={close} />
        </div>
      </form>
    </Dialog>
  );
}

/** The labels that somebody wrote, separated by commas. */
export function labelsIn(text: string): string[] {
  return [
    ...new Set(
      text
        .split(",")
        .map((one) => one.trim())
        .filter(Boolean),
    ),
  ];
}
