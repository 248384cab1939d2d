/** The releases of an app: who put out what and when, what changed, and the way back. */
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { Dialog, Leave } from "../../ui/Dialog";
import { StateMark } from "../../ui/StateMark";
import { at } from "../../ui/words";
import { releaseMark } from "../apps/states";
import styles from "./App.module.css";
import { type AppView, type Release, rollBack, useChange } from "./queries";

/** What a release has that the one before it had not, in words. */
export function changesOf(release: Release, before: Release | undefined): string[] {
  if (release.of > 0) return [`release ${release.of} again`];
  if (before === undefined) return ["the first that is kept"];
  const changes: string[] = [];
  if (release.source !== before.source) changes.push("another source");
  const settings = new Set([...Object.keys(release.config), ...Object.keys(before.config)]) as Set<
    keyof Release["config"]
  >;
  for (const name of settings) {
    const [was, is] = [before.config[name], release.config[name]].map((value) => JSON.stringify(value));
    if (was !== is) changes.push(is === undefined ? `${name} as by default` : `${name} ${is}`);
  }
  const added = release.env.filter((name) => !before.env.includes(name));
  const gone = before.env.filter((name) => !release.env.includes(name));
  if (added.length > 0) changes.push(`with ${added.join(", ")}`);
  if (gone.length > 0) changes.push(`without ${gone.join(", ")}`);
  return changes.length > 0 ? changes : ["values of variables"];
}

export function Releases({ app, asked, may }: { app: AppView; asked: string; may: boolean }) {
  const [back, setBack] = useState<Release | null>(null);
  const change = useChange<number>(
    asked,
    (number) => rollBack(asked, number),
    (number) => `Going back to release ${number}; the one that serves goes on until it is healthy.`,
  );
  const newestFirst = [...app.releases].reverse();
  return (
    <div className={styles.part}>
      {may && (
        <p>
          <Link to="/clusters/new" search={{ app: app.name }} className="button">
            Deploy a new release
          </Link>
        </p>
      )}
      <ol className={styles.releases}>
        {newestFirst.map((release, index) => (
          <li key={release.number}>
            <b>{release.number}</b>
            <StateMark {...releaseMark(release.state)} />
            <span className={styles.what}>
              {changesOf(release, newestFirst[index + 1]).join("; ")}
              <span className="mute">
                {" "}
                · {at(release.createdAt)} by <bdi>{release.by}</bdi> ·{" "}
                <span className="mono">{release.source.slice(7, 15)}</span>
              </span>
              {release.state === "failed" && release.reason !== null && (
                <pre className={styles.why}>{release.reason.message}</pre>
              )}
            </span>
            {release.number !== app.live && release.state === "superseded" && (
              <button type="button" className="button" disabled={!may} onClick={() => setBack(release)}>
                Roll back to {release.number}
              </button>
            )}
          </li>
        ))}
      </ol>
      {back !== null && (
        <Dialog title={`Roll back to release ${back.number}`} close={() => setBack(null)}>
          <p>
            Its source, settings and variables as they were on {at(back.createdAt)} become a new release.{" "}
            {app.live > 0 && `Release ${app.live} serves until that is healthy.`}
          </p>
          <div className={styles.row}>
            <button
              type="button"
              className="button main"
              disabled={change.isPending}
              onClick={() => change.mutate(back.number, { onSettled: () => setBack(null) })}
            >
              Roll back
            </button>
            <Leave close={() => setBack(null)} />
          </div>
        </Dialog>
      )}
    </div>
  );
}
