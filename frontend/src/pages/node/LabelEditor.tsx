/** The labels of a node: those its machine says, and those that operators give it and take away. */
import { X } from "lucide-react";
import { useId, useState } from "react";
import { type NodeView, Problem } from "../../api/client";
import { Panel } from "../../ui/Panel";
import { sayWhyNot } from "../../ui/Toast";
import { labelsIn } from "../nodes/NodeDialogs";
import { giveLabels, nodesChanged } from "../nodes/queries";
import styles from "./Node.module.css";

export function LabelEditor({ node, mayEdit }: { node: NodeView; mayEdit: boolean }) {
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const field = useId();
  const given = node.givenLabels ?? [];
  const own = node.labels.filter((label) => !given.includes(label));
  const give = async (labels: readonly string[]) => {
    setBusy(true);
    try {
      await giveLabels(node.nodeId, labels);
      setText("");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      sayWhyNot(error);
    }
    setBusy(false);
    nodesChanged();
  };
  return (
    <Panel title="Labels">
      <div className={styles.sheet}>
        <p className="mute">
          Tasks and apps ask for them. Those with a frame were given here; the others its agent says.
        </p>
        <ul className={styles.labels} aria-label="Labels of the node">
          {own.map((label) => (
            <li key={label} className={styles.label}>
              <bdi>{label}</bdi>
            </li>
          ))}
          {given.map((label) => (
            <li key={label} className={`${styles.label} ${styles.given}`}>
              <bdi>{label}</bdi>
              {mayEdit && (
                <button
                  type="button"
                  disabled={busy}
                  aria-label={`Take ${label} away`}
                  onClick={() => void give(given.filter((one) => one !== label))}
                >
                  <X size={12} aria-hidden="true" />
                </button>
              )}
            </li>
          ))}
          {node.labels.length === 0 && <li className="mute">none</li>}
        </ul>
        {mayEdit && (
          <form
            className={styles.give}
            onSubmit={(event) => {
              event.preventDefault();
              void give([...new Set([...given, ...labelsIn(text)])]);
            }}
          >
            <label className="unseen" htmlFor={field}>
              Labels to give
            </label>
            <input
              id={field}
              className="field"
              value={text}
              placeholder="site:Vigo, gpu-lab"
              autoComplete="off"
              onChange={(event) => setText(event.target.value)}
            />
            <button type="submit" className="button" disabled={busy || labelsIn(text).length === 0}>
              Give
            </button>
          </form>
        )}
      </div>
    </Panel>
  );
}
