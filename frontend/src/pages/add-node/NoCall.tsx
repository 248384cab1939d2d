/** What to look at where a machine does not call in. */
import styles from "./AddNode.module.css";

const PATIENCE_MS = 60_000;

interface NoCallProps {
  /** Since when the token waits to be used; null once it does not. */
  waitsSince: number | null;
  now: number;
  system: string;
  command: string;
}

export function NoCall({ waitsSince, now, system, command }: NoCallProps) {
  if (waitsSince === null || now - waitsSince < PATIENCE_MS) return null;
  const url = /https?:\/\/[^/\s)]+/.exec(command)?.[0] ?? window.location.origin;
  const isWindows = system === "Windows";
  const anchor =
    system === "Python" ? "anchor" : isWindows ? "~\\.anchor\\venv\\Scripts\\anchor" : "~/.anchor/venv/bin/anchor";
  return (
    <section aria-labelledby="no-call">
      <h2 id="no-call">No call after a minute?</h2>
      <p className="mute">On the machine itself, these say what is in the way:</p>
      <dl className={styles.looks}>
        <dt className="mono">{isWindows ? `irm ${url}/health` : `curl -sf ${url}/health`}</dt>
        <dd>
          must print <span className="mono">"status":"ok"</span>; if not, the network or a firewall is in between
        </dd>
        <dt className="mono">
          {anchor} doctor --url {url}
        </dt>
        <dd>once it is installed: tests the server's address, the clock, the disk and what the machine can run</dd>
      </dl>
    </section>
  );
}
