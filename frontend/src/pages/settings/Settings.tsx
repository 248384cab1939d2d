/** What this browser keeps, and what the server was set to: the one to choose, the other to read. */
import { useQuery } from "@tanstack/react-query";
import { createLazyRoute } from "@tanstack/react-router";
import { api, take } from "../../api/client";
import type { components } from "../../api/schema";
import { useMay } from "../../api/session";
import { AsCurl } from "../../ui/AsCurl";
import { Fact, Facts } from "../../ui/Facts";
import { Page } from "../../ui/Page";
import { Panel } from "../../ui/Panel";
import { Failed, Loading } from "../../ui/Said";
import { StateMark } from "../../ui/StateMark";
import { at, bytes } from "../../ui/words";
import styles from "./Settings.module.css";
import { ThisBrowser } from "./ThisBrowser";

export const route = createLazyRoute("/settings")({ component: Settings });

type View = components["schemas"]["SettingsView"];
type Setting = components["schemas"]["SettingView"];

const PACE_MS = 10_000;

function Settings() {
  const isAdmin = useMay("admin");
  return (
    <Page title="Settings" aside={isAdmin && <AsCurl path="/api/settings" />} arranged={styles.page}>
      <ThisBrowser />
      {isAdmin ? (
        <Server />
      ) : (
        <Panel title="The server">
          <p className="mute">
            What the server was set to is for admins to see: it tells how the network is guarded. An admin changes it
            where the server runs.
          </p>
        </Panel>
      )}
    </Page>
  );
}

function Server() {
  const settings = useQuery({
    queryKey: ["settings"],
    queryFn: ({ signal }) => take(api.GET("/api/settings", { signal })),
    refetchInterval: PACE_MS,
  });
  if (settings.isPending) return <Loading what="settings" />;
  if (settings.data === undefined) {
    return <Failed what="settings" error={settings.error!} again={() => void settings.refetch()} />;
  }
  const groups = [...new Set(settings.data.settings.map((one) => one.group))];
  return (
    <>
      <Panel title="The server">
        <Stands view={settings.data} />
      </Panel>
      <Panel title="What it was set to">
        <p className="mute">
          Settings are read once, when the server starts: a flag wins over a variable, that over{" "}
          <span className="mono">anchor.toml</span>, that over the default. To change one, change it there and start the
          server again.
        </p>
        {groups.map((group) => (
          <section key={group} className={styles.group} aria-label={group}>
            <h3 className="label">{group}</h3>
            <dl className={styles.list}>
              {settings.data.settings
                .filter((one) => one.group === group)
                .map((one) => (
                  <One key={one.name} setting={one} />
                ))}
            </dl>
          </section>
        ))}
      </Panel>
    </>
  );
}

function One({ setting }: { setting: Setting }) {
  const isChanged = setting.source !== "default";
  return (
    <div className={styles.one}>
      <dt className={styles.name}>{setting.name}</dt>
      <dd>
        <bdi className={isChanged ? styles.changed : ""}>{setting.value}</bdi>
        <span className={styles.source}>{isChanged ? `from ${setting.source}` : "as it comes"}</span>
      </dd>
      <dd>
        {setting.meaning}
        <span className={styles.source}>
          {setting.wanted}; <span className="mono">{setting.variable}</span>
        </span>
      </dd>
    </div>
  );
}

const PARTS: Record<string, string> = { store: "Tasks and records", queue: "Queue", blobs: "Files" };

function Stands({ view }: { view: View }) {
  return (
    <Facts>
      {view.engines.map((engine) => (
        <Fact key={engine.part} name={PARTS[engine.part] ?? engine.part}>
          {engine.trouble === null ? (
            <StateMark state="succeeded" word={engine.kind} />
          ) : (
            <>
              <StateMark state="failed" word={engine.kind} />
              <p className={styles.wrong}>{engine.trouble}</p>
            </>
          )}
        </Fact>
      ))}
      <Fact name="Version">
        <span className="mono">{view.version}</span>
      </Fact>
      <Fact name="Up since">{at(view.startedAt)}</Fact>
      <Fact name="Address">
        <bdi className="mono">{view.url}</bdi>
      </Fact>
      <Fact name="Data">
        <bdi className="mono">{view.data}</bdi>
        {view.dataBytes === null ? ", too large to measure" : `, ${bytes(view.dataBytes)}`}
      </Fact>
      <Fact name="Restored">{view.epoch === 0 ? "never" : `${view.epoch} times`}</Fact>
    </Facts>
  );
}
