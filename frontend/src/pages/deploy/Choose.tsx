/** Where the source comes from: a folder or an archive, chosen or dropped; packed, brought and looked through. */
import { useRef, useState } from "react";
import looks from "../../ui/looks.module.css";
import { StateMark } from "../../ui/StateMark";
import { bytes, count } from "../../ui/words";
import styles from "./Deploy.module.css";
import { type Plan, planInWords } from "./request";
import { droppedEntries, entriesOf, type Source } from "./source";
import type { Entry } from "./tar";

export type Brought =
  | { state: "none" }
  | { state: "packing" | "bringing" | "looking"; source?: Source }
  | { state: "wrong"; message: string; hint: string }
  | { state: "ready"; source: Source; digest: string; plan: Plan };

interface ChooseProps {
  brought: Brought;
  choose: (entries: Promise<readonly Entry[]>) => void;
  /** What is deployed where nothing is chosen. */
  otherwise: string;
}

export function Choose({ brought, choose, otherwise }: ChooseProps) {
  const [over, setOver] = useState(false);
  const folder = useRef<HTMLInputElement>(null);
  const archive = useRef<HTMLInputElement>(null);
  const taken = (input: HTMLInputElement) => {
    if (input.files?.length) choose(Promise.resolve(entriesOf(input.files)));
    input.value = "";
  };
  return (
    <section
      className={styles.drop}
      data-over={over}
      aria-label="Source"
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        choose(droppedEntries(event.dataTransfer));
      }}
    >
      <p>Drop a folder, a zip or a tar here, or</p>
      <div className={styles.row}>
        <button type="button" className="button" onClick={() => folder.current?.click()}>
          Choose a folder
        </button>
        <button type="button" className="button" onClick={() => archive.current?.click()}>
          Choose an archive
        </button>
        <input
          ref={folder}
          type="file"
          hidden
          aria-label="Folder"
          {...{ webkitdirectory: "" }}
          onChange={(event) => taken(event.currentTarget)}
        />
        <input
          ref={archive}
          type="file"
          hidden
          aria-label="Archive"
          accept=".zip,.tar,.gz,.tgz"
          onChange={(event) => taken(event.currentTarget)}
        />
      </div>
      <div role="status">
        <Outcome brought={brought} otherwise={otherwise} />
      </div>
    </section>
  );
}

function Outcome({ brought, otherwise }: { brought: Brought; otherwise: string }) {
  switch (brought.state) {
    case "none":
      return <p className="mute">{otherwise}</p>;
    case "packing":
      return <StateMark state="running" word="packing it…" />;
    case "bringing":
      return <StateMark state="running" word={`bringing ${bytes(brought.source?.archive.size ?? 0)} to the server…`} />;
    case "looking":
      return <StateMark state="running" word="looking it through…" />;
    case "wrong":
      return (
        <div className={`${looks.note} ${looks.lines}`}>
          <p>
            <StateMark state="failed" word="This cannot be deployed." />
          </p>
          <pre>{brought.message}</pre>
          <p className="mute">{brought.hint}</p>
        </div>
      );
    case "ready":
      return <Ready brought={brought} />;
  }
}

function Ready({ brought: { source, plan } }: { brought: Extract<Brought, { state: "ready" }> }) {
  const files = source.files === null ? "" : `${count(source.files)} files, `;
  const ignored = source.ignored === 0 ? "" : `; ${count(source.ignored)} left out`;
  return (
    <div className={styles.plan}>
      <p>
        <StateMark state="succeeded" word={planInWords(plan)} />
      </p>
      <p className="mute">
        {files}
        {bytes(source.archive.size)}
        {ignored}.
      </p>
      <ul>
        {Object.entries(plan.processes).map(([name, command]) => (
          <li key={name} className="mono">
            <b>{name}</b> <bdi>{command}</bdi>
          </li>
        ))}
      </ul>
      {source.hasAppFile && (
        <p className="mute">
          Its <span className="mono">anchor-app.toml</span> is read by <span className="mono">anchor app deploy</span>{" "}
          only: say below what it says.
        </p>
      )}
    </div>
  );
}
