/** What a machine says it has, and what it was found to be. */
import type { NodeView } from "../../api/client";
import { Panel } from "../../ui/Panel";
import { ago } from "../../ui/words";
import { speedOf } from "../nodes/rows";
import styles from "./Node.module.css";

export function Machine({ node, middle }: { node: NodeView; middle: number }) {
  const { specs, metrics } = node;
  const gpus = specs.gpus.length === 0 ? "none" : `${specs.gpus.join(", ")}${specs.gpuTasks ? "" : ", not for tasks"}`;
  const free = (part: number | undefined) => (metrics.uptime ? `${(part ?? 0).toFixed(1)} GiB free` : "");
  const rows: [string, string, string][] = [
    [
      "cores",
      `${specs.cores}, ${specs.cpu || "of a kind it does not name"}`,
      `${Math.round(metrics.cpuUsage ?? 0)} % in use`,
    ],
    ["speed of one core", "", measured(node, middle)],
    ["memory", `${specs.ram.toFixed(1)} GiB`, free(metrics.freeRam)],
    ["most for one task", specs.taskMemoryMib ? `${(specs.taskMemoryMib / 1024).toFixed(1)} GiB` : "not said", ""],
    ["disk", `${specs.disk.toFixed(1)} GiB`, free(metrics.freeDisk)],
    ["GPU", gpus, ""],
    ["system", `${specs.os}, ${specs.arch}`, ""],
    ["offers", specs.features?.join(", ") || "no network, no apps", ""],
  ];
  return (
    <Panel title="The machine">
      <table className={styles.table}>
        <thead>
          <tr>
            <th scope="col">what</th>
            <th scope="col">it says</th>
            <th scope="col">measured</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([what, says, found]) => (
            <tr key={what}>
              <th scope="row">{what}</th>
              <td>
                <bdi>{says}</bdi>
              </td>
              <td>{found}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

/** "412 k/s · 1.1× the fleet's middle, 2 h ago". */
function measured(node: NodeView, middle: number): string {
  const found = speedOf(node, middle);
  if (!node.measuredAt) return found;
  return `${found}${found.includes("×") ? " the fleet's middle" : ""}, ${ago(node.measuredAt)}`;
}
