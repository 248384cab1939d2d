/** Each step of the newest deployment as it happens: it is live only after a health check passed. */
import { serverNow } from "../../live/pulse";
import looks from "../../ui/looks.module.css";
import { StateMark } from "../../ui/StateMark";
import { ago, lasting } from "../../ui/words";
import styles from "./App.module.css";
import type { AppView, Release, Replica } from "./queries";

export interface Step {
  word: string;
  state: "done" | "now" | "waits" | "failed";
  says: string;
}

const REACHED: Record<string, number> = { unplaced: 0, placed: 1, building: 1, starting: 2, unhealthy: 3, healthy: 4 };
/** Which step a release was in when it failed, by the code of why. */
const FAILED_IN: Record<string, number> = {
  no_node: 0,
  build_failed: 1,
  build_too_long: 1,
  release_failed: 2,
  crash_loop: 2,
  ended: 2,
};
const FAILED_WORDS = ["No node was found", "Was not built", "Did not start", "Was not healthy", "Is not live"];
const MARKS = {
  done: { state: "succeeded", word: "done" },
  now: { state: "running", word: "now" },
  waits: { state: "queued", word: "waits" },
  failed: { state: "failed", word: "failed" },
};
const SHOWN_AFTER_MS = 5 * 60_000;

/** The steps of a release, by how far the furthest of its replicas is. */
export function stepsOf(app: AppView, release: Release): Step[] {
  const own = app.replicas.filter((one) => one.release === release.number);
  const furthest = own.reduce<Replica | null>(
    (best, one) => (best === null || (REACHED[one.state] ?? 0) > (REACHED[best.state] ?? 0) ? one : best),
    null,
  );
  const failed = release.state === "failed";
  const over = release.state === "live" || release.state === "superseded";
  const at = over ? 5 : failed ? (FAILED_IN[release.reason?.code ?? ""] ?? 3) : (REACHED[furthest?.state ?? ""] ?? 0);
  const where = furthest?.nodeId ?? null;
  const check = release.config.healthPath ? `GET ${release.config.healthPath} answers` : "its port takes connections";
  const url = app.urls[0];
  const words: [string, string][] = [
    ["A node is found", where ?? ""],
    ["Built", builtBy(release)],
    ["Started", Object.keys(release.plan.processes).join(", ") || release.plan.kind],
    ["Healthy", url === undefined ? "it keeps running" : check],
    [url === undefined ? "Live" : "Live at its address", over && app.live === release.number ? (url ?? "") : ""],
  ];
  return words.map(([word, says], index) => ({
    word: failed && index === at ? FAILED_WORDS[index]! : word,
    says,
    state: index < at ? "done" : index > at ? "waits" : failed ? "failed" : "now",
  }));
}

function builtBy({ plan }: Release): string {
  if (plan.kind === "static") return "a static site: nothing to build";
  // What is as by default is left out of an answer.
  const parts = [plan.install ? `packages by ${plan.install}` : "", plan.build ?? ""];
  return parts.filter((part) => part !== "").join(", then ") || "nothing to install";
}

/** Shown while a release is on its way, where it failed, and for a while after it went live. */
export function Steps({ app }: { app: AppView }) {
  const release = app.releases.at(-1);
  if (release === undefined || release.state === "superseded") return null;
  if (release.state === "live" && serverNow() - Date.parse(release.createdAt) > SHOWN_AFTER_MS) return null;
  const serves = app.live !== 0 && app.live !== release.number;
  return (
    <section className={styles.steps} aria-label={`Deployment of release ${release.number}`}>
      <h2>
        Release {release.number}{" "}
        <span className="mute">
          {ago(release.createdAt)} by <bdi>{release.by}</bdi>
        </span>
      </h2>
      <ol>
        {stepsOf(app, release).map((step) => (
          <li key={step.word} data-state={step.state}>
            <StateMark {...MARKS[step.state]} quiet />{" "}
            <span className={styles.word}>{step.state === "now" ? <b>{step.word}</b> : step.word}</span>{" "}
            <span className="mute">
              <bdi>{step.says}</bdi>
            </span>
          </li>
        ))}
      </ol>
      {release.state === "failed" && (
        <div className={`${looks.note} ${looks.lines}`}>
          <p>
            <b>Release {release.number} failed.</b> {serves && `Release ${app.live} still serves.`}
          </p>
          {release.reason !== null && (
            <>
              <pre>{release.reason.message}</pre>
              <p className="mute">{release.reason.hint}</p>
            </>
          )}
        </div>
      )}
      {release.state === "pending" && serves && (
        <p className="mute">
          Until release {release.number} is healthy, release {app.live} serves.
        </p>
      )}
      {release.state === "pending" && !serves && (
        <p className="mute">
          A release has {lasting((release.config.startSeconds ?? 60) * 1000)} to become healthy after its build.
        </p>
      )}
    </section>
  );
}
