/** What an app prints: all of it in one order, or that of one process or replica. */
import { Output } from "../../ui/Output";
import styles from "./App.module.css";
import { logUrl, useAppLog } from "./log";
import type { AppView } from "./queries";

interface LogProps {
  app: AppView;
  asked: string;
  search: Record<string, string | undefined>;
  show: (search: Record<string, string | undefined>) => void;
}

export function Log({ app, asked, search, show }: LogProps) {
  const { process, generation } = search;
  const url = logUrl(asked, process, generation);
  const output = useAppLog(url);
  const processes = [...new Set(app.replicas.map((one) => one.process))];
  const chosen = generation !== undefined ? `g${generation}` : process !== undefined ? `p${process}` : "";
  const known =
    chosen === "" || !chosen.startsWith("g") || app.replicas.some((one) => String(one.generation) === generation);
  const choose = (value: string) => {
    if (value.startsWith("g")) show({ part: "log", generation: value.slice(1) });
    else show({ part: "log", process: value === "" ? undefined : value.slice(1) });
  };
  return (
    <div className={styles.log}>
      <label>
        Show{" "}
        <select className="field" value={chosen} onChange={(event) => choose(event.target.value)}>
          <option value="">all of it</option>
          {processes.map((name) => (
            <option key={name} value={`p${name}`}>
              process {name}
            </option>
          ))}
          {app.replicas.map((one) => (
            <option key={one.generation} value={`g${one.generation}`}>
              {one.process}.{one.index} on {one.nodeId ?? "no node"}, release {one.release}
            </option>
          ))}
          {!known && <option value={chosen}>a replica that is gone</option>}
        </select>
      </label>
      <Output key={url} output={output} rawUrl={url} memory={url} />
    </div>
  );
}
