/** Which runtimes a node offers, how well their tasks are held, and why others are missing. */
import type { NodeView } from "../../api/client";
import { Panel } from "../../ui/Panel";
import styles from "./Node.module.css";

const HELD: Record<string, string> = {
  confined: "confined",
  process: "in a process of its own",
  none: "not held",
};

export function Runtimes({ node }: { node: NodeView }) {
  const { runtimes, missing, confinement } = node.specs;
  const offered = Object.entries(runtimes).sort();
  const lacking = Object.entries(missing).sort();
  return (
    <Panel title="Runtimes">
      <table className={styles.table}>
        <thead>
          <tr>
            <th scope="col">runtime</th>
            <th scope="col">its tasks are</th>
            <th scope="col">version, or why not</th>
          </tr>
        </thead>
        <tbody>
          {offered.map(([name, version]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{HELD[confinement?.[name] ?? ""] ?? "not said"}</td>
              <td>
                <bdi>{version}</bdi>
              </td>
            </tr>
          ))}
          {lacking.map(([name, why]) => (
            <tr key={name}>
              <th scope="row" className="mute">
                {name}
              </th>
              <td className="mute">not offered</td>
              <td className="mute">
                <bdi>{why}</bdi>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {offered.length + lacking.length === 0 && <p className="mute">Its agent has not said what it offers yet.</p>}
    </Panel>
  );
}
