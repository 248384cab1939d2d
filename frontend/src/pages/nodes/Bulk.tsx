/** What can be done with the nodes that are selected, and what came of it. */
import { useState } from "react";
import { useMay } from "../../api/session";
import { useKeys } from "../../keyboard/keys";
import { say } from "../../ui/Toast";
import { count } from "../../ui/words";
import { each, outcomeOf } from "./many";
import { BlockDialog, LabelDialog } from "./NodeDialogs";
import styles from "./Nodes.module.css";
import { decide, giveLabels, nodesChanged, type Verb } from "./queries";
import type { Row } from "./rows";

const DONE: Record<Verb, string> = { drain: "drained", resume: "back in service", block: "blocked" };

interface BulkProps {
  rows: readonly Row[];
  selected: ReadonlySet<string>;
  select: (ids: ReadonlySet<string>) => void;
}

export function Bulk({ rows, selected, select }: BulkProps) {
  const [asking, setAsking] = useState<"block" | "label" | null>(null);
  const [busy, setBusy] = useState(false);
  const mayAct = useMay("operator");
  const ids = [...selected];
  const act = async (word: string, what: (id: string) => Promise<unknown>) => {
    setBusy(true);
    const outcomes = await each(ids, what);
    setBusy(false);
    say(outcomeOf(outcomes, word), outcomes.failed.length > 0);
    select(new Set(outcomes.failed.map((one) => one.id)));
    nodesChanged();
  };
  const become = (verb: Verb, reason = "") => void act(DONE[verb], (id) => decide(id, verb, reason));
  const label = (add: readonly string[], remove: ReadonlySet<string>) =>
    void act("labelled", async (id) => {
      const given = rows.find((row) => row.id === id)?.node.givenLabels ?? [];
      await giveLabels(id, [...new Set([...given.filter((one) => !remove.has(one)), ...add])]);
    });
  const can = mayAct && !busy && ids.length > 0;
  useKeys([
    { keys: "b d", says: "drain the selected nodes", run: () => can && become("drain") },
    { keys: "b r", says: "take the selected nodes back", run: () => can && become("resume") },
    { keys: "b b", says: "block the selected nodes", run: () => can && setAsking("block") },
    { keys: "b l", says: "label the selected nodes", run: () => can && setAsking("label") },
  ]);
  if (ids.length === 0) return null;
  const why = mayAct ? undefined : "This takes the role operator.";
  return (
    <div className={styles.bulk} role="toolbar" aria-label="Selected nodes">
      <b>{count(ids.length)} selected</b>
      <button type="button" className="button" disabled={!can} title={why} onClick={() => become("drain")}>
        Drain
      </button>
      <button type="button" className="button" disabled={!can} title={why} onClick={() => become("resume")}>
        Take back
      </button>
      <button type="button" className="button" disabled={!can} title={why} onClick={() => setAsking("block")}>
        Block…
      </button>
      <button type="button" className="button" disabled={!can} title={why} onClick={() => setAsking("label")}>
        Label…
      </button>
      {!mayAct && <span className="mute">To change them takes the role operator.</span>}
      <button type="button" className="link" onClick={() => select(new Set())}>
        Select none
      </button>
      {asking === "block" && (
        <BlockDialog ids={ids} close={() => setAsking(null)} block={(reason) => become("block", reason)} />
      )}
      {asking === "label" && <LabelDialog ids={ids} close={() => setAsking(null)} label={label} />}
    </div>
  );
}
