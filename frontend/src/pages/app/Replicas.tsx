/** What runs of an app: each replica with its node, health, restarts and what it uses; and how many there are to be. */
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import looks from "../../ui/looks.module.css";
import { StateMark } from "../../ui/StateMark";
import { ago, count } from "../../ui/words";
import { cores } from "../apps/Apps";
import { replicaMark, shortly } from "../apps/states";
import styles from "./App.module.css";
import { type AppView, scale, useChange } from "./queries";

const REPLICAS_MAX = 100;

interface ReplicasProps {
  app: AppView;
  asked: string;
  may: boolean;
  showLog: (search: Record<string, string>) => void;
}

export function Replicas({ app, asked, may, showLog }: ReplicasProps) {
  return (
    <div className={styles.part}>
      {app.replicas.length === 0 ? (
        <p>Nothing of it runs{app.state === "stopped" ? ": it is stopped." : "."}</p>
      ) : (
        <div className={looks.wide}>
          <table className={looks.table}>
            <thead>
              <tr>
                <th scope="col">replica</th>
                <th scope="col">state</th>
                <th scope="col">node</th>
                <th scope="col" className={looks.foldsFirst}>
                  for
                </th>
                <th scope="col">restarts</th>
                <th scope="col" className={looks.foldsFirst}>
                  CPU
                </th>
                <th scope="col" className={looks.foldsFirst}>
                  memory
                </th>
                <th scope="col">
                  <span className="unseen">log</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {app.replicas.map((one) => (
                <tr key={one.generation}>
                  <th scope="row" className="mono">
                    {one.process}.{one.index}
                    {one.release !== app.live && <span className="mute"> release {one.release}</span>}
                  </th>
                  <td>
                    <StateMark {...replicaMark(one.state)} />
                    {one.reason !== null && <div className={styles.why}>{shortly(one.reason)}</div>}
                  </td>
                  <td className="mono">
                    {one.nodeId === null ? (
                      <span className="mute">none yet</span>
                    ) : (
                      <Link to="/nodes/$id" params={{ id: one.nodeId }}>
                        {one.nodeId}
                      </Link>
                    )}
                  </td>
                  <td className={looks.foldsFirst}>{ago(one.since).replace(" ago", "")}</td>
                  <td>{count(one.restarts)}</td>
                  <td className={looks.foldsFirst}>{one.cpu === null ? "" : cores(one.cpu)}</td>
                  <td className={looks.foldsFirst}>
                    {one.memoryMib === null ? "" : `${count(Math.round(one.memoryMib))} MiB`}
                  </td>
                  <td>
                    <button
                      type="button"
                      className="link"
                      onClick={() => showLog({ part: "log", generation: String(one.generation) })}
                    >
                      log
                      <span className="unseen">
                        {" "}
                        of {one.process}.{one.index}
                      </span>
                    </button>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <Scale app={app} asked={asked} may={may} />
    </div>
  );
}

/** How many replicas of each process there are to be. */
function Scale({ app, asked, may }: { app: AppView; asked: string; may: boolean }) {
  const plan = app.releases.at(-1)?.plan;
  const now = app.config.scale ?? {};
  const names =
    plan === undefined
      ? []
      : plan.kind === "static"
        ? ["web"]
        : Object.keys(plan.processes).filter((name) => name !== "release");
  const [wish, setWish] = useState<Record<string, number>>({});
  const change = useChange<Record<string, number>>(
    asked,
    (wanted) => scale(asked, wanted),
    () => "Scaled: replicas come and go one by one.",
  );
  if (names.length === 0) return null;
  const changed = names.some((name) => wish[name] !== undefined && wish[name] !== (now[name] ?? 1));
  return (
    <form
      className={styles.scale}
      onSubmit={(event) => {
        event.preventDefault();
        change.mutate(wish, { onSuccess: () => setWish({}) });
      }}
    >
      <h3>How many of each</h3>
      {names.map((name) => (
        <label key={name}>
          <span className="mono">{name}</span>{" "}
          <input
            className="field"
            type="number"
            min={0}
            max={REPLICAS_MAX}
            disabled={!may}
            value={wish[name] ?? now[name] ?? 1}
            onChange={(event) => setWish({ ...wish, [name]: event.target.valueAsNumber || 0 })}
          />
        </label>
      ))}
      <button type="submit" className="button" disabled={!may || !changed || change.isPending}>
        Scale
      </button>
      {!may && <span className="mute">Your role only lets you look.</span>}
    </form>
  );
}
