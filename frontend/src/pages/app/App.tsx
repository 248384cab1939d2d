/** One app: where it answers, what runs of it, what it prints, its releases and its variables. */
import { createLazyRoute, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useMay } from "../../api/session";
import { useKeys } from "../../keyboard/keys";
import { AsCurl } from "../../ui/AsCurl";
import { Fact, Facts } from "../../ui/Facts";
import looks from "../../ui/looks.module.css";
import { Page } from "../../ui/Page";
import { Failed, Loading } from "../../ui/Said";
import { StateMark } from "../../ui/StateMark";
import { Tabs } from "../../ui/Tabs";
import { count } from "../../ui/words";
import { appMark } from "../apps/states";
import { Actions } from "./Actions";
import styles from "./App.module.css";
import { Env } from "./Env";
import { Log } from "./Log";
import { type AppView, useApp } from "./queries";
import { Releases } from "./Releases";
import { Replicas } from "./Replicas";
import { Steps } from "./Steps";

export const route = createLazyRoute("/clusters/$id")({ component: App });

const PARTS = ["Replicas", "Log", "Releases", "Variables", "Settings"] as const;

function App() {
  const { id } = useParams({ from: "/clusters/$id" });
  const app = useApp(id);
  if (app.data !== undefined && !app.isError) return <Found key={id} app={app.data} asked={id} />;
  return (
    <Page title="App">
      {app.isPending ? (
        <Loading what="the app" />
      ) : (
        <Failed what="the app" error={app.error ?? new Error("")} again={() => void app.refetch()} />
      )}
    </Page>
  );
}

function Found({ app, asked }: { app: AppView; asked: string }) {
  const navigate = useNavigate();
  const search: Record<string, string | undefined> = useSearch({ from: "/clusters/$id" });
  const may = useMay("submitter");
  const part = PARTS.find((one) => one.toLowerCase() === search.part) ?? "Replicas";
  const show = (next: Record<string, string | undefined>) =>
    void navigate({ to: "/clusters/$id", params: { id: asked }, search: withoutNothing(next), replace: true });
  const choose = (one: (typeof PARTS)[number]) => show({ part: one.toLowerCase() });
  const url = app.urls[0];
  const newest = app.releases.at(-1);
  // Why its newest release failed stands with that.
  const told = newest?.state === "failed" && app.reason?.message.includes(newest.reason?.message ?? "");
  const reason = told ? null : app.reason;
  useKeys([
    ...PARTS.map((one, number) => ({ keys: `${number + 1}`, says: one, run: () => choose(one) })),
    ...(url === undefined
      ? []
      : [{ keys: "o", says: "open the app", run: () => window.open(url, "_blank", "noopener,noreferrer") }]),
  ]);
  return (
    <Page
      title={app.title || app.name}
      aside={
        <>
          <AsCurl path={`/api/clusters/${app.name}`} />
          {url !== undefined && app.ready > 0 && (
            <a className="button main" href={url} target="_blank" rel="noopener noreferrer">
              Open it
            </a>
          )}
          <Actions app={app} asked={asked} may={may} />
        </>
      }
      fill
    >
      <Facts>
        <Fact name="state">
          <StateMark {...appMark(app)} />
        </Fact>
        <Fact name="ready">
          {app.ready} of {app.wanted}
        </Fact>
        <Fact name="restarts">{count(app.restarts)}</Fact>
        <Fact name="release">{app.live === 0 ? "none live yet" : app.live}</Fact>
        <Fact name={app.urls.length > 1 ? "addresses" : "address"}>
          <Addresses app={app} />
        </Fact>
        <Fact name="owner">
          <bdi>{app.owner}</bdi>
        </Fact>
      </Facts>
      {reason !== null && (
        <div className={`${looks.note} ${looks.lines} ${app.state === "running" ? looks.warn : ""}`} role="note">
          <pre>{reason.message}</pre>
          {reason.hint && <p className="mute">{reason.hint}</p>}
        </div>
      )}
      <Steps app={app} />
      <Tabs label="Parts of the app" names={PARTS} chosen={part} choose={choose}>
        {part === "Replicas" && <Replicas app={app} asked={asked} may={may} showLog={show} />}
        {part === "Log" && <Log app={app} asked={asked} search={search} show={show} />}
        {part === "Releases" && <Releases app={app} asked={asked} may={may} />}
        {part === "Variables" && <Env app={app} asked={asked} may={may} />}
        {part === "Settings" && (
          <pre className={`${looks.printed} ${styles.json}`} tabIndex={0}>
            {JSON.stringify({ config: app.config, plan: app.releases.at(-1)?.plan }, null, 2)}
          </pre>
        )}
      </Tabs>
    </Page>
  );
}

function withoutNothing(search: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(search).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

/** Where it answers, once it does. */
function Addresses({ app }: { app: AppView }) {
  if (app.urls.length === 0) return <span className="mute">none: nothing is routed to it</span>;
  if (app.ready === 0) return <span className="mute">shown once a replica is healthy</span>;
  return (
    <ul className={styles.addresses}>
      {app.urls.map((url) => (
        <li key={url}>
          <a href={url} target="_blank" rel="noopener noreferrer" className="mono">
            {url}
          </a>
        </li>
      ))}
    </ul>
  );
}
