/** Every app that is deployed: where it answers, how it is, and where it runs. */
import { createLazyRoute, Link, useNavigate } from "@tanstack/react-router";
import type { AppRow } from "../../api/client";
import { useMay } from "../../api/session";
import { useKeys } from "../../keyboard/keys";
import { AsCurl } from "../../ui/AsCurl";
import looks from "../../ui/looks.module.css";
import { Page } from "../../ui/Page";
import { Empty, Failed, Loading } from "../../ui/Said";
import { StateMark } from "../../ui/StateMark";
import { type Column, Table } from "../../ui/Table";
import { count } from "../../ui/words";
import styles from "./Apps.module.css";
import { useLiveApps } from "./queries";
import { appMark, shortly } from "./states";

export const route = createLazyRoute("/apps")({ component: Apps });

const COLUMNS: readonly Column<AppRow>[] = [
  {
    name: "app",
    width: "minmax(96px, 1fr)",
    narrow: "minmax(0, 1fr)",
    by: (row) => row.title || row.name,
    cell: (row) => (
      <Link to="/clusters/$id" params={{ id: row.id }} tabIndex={-1}>
        <bdi>{row.title || row.name}</bdi>
      </Link>
    ),
  },
  {
    name: "state",
    width: "112px",
    narrow: "100px",
    by: (row) => row.state,
    cell: (row) => <StateMark {...appMark(row)} />,
  },
  {
    name: "ready",
    width: "70px",
    narrow: "66px",
    by: (row) => row.ready,
    cell: (row) => `${row.ready} of ${row.wanted}`,
  },
  { name: "address", width: "minmax(120px, 1.4fr)", cell: (row) => <Address url={row.urls[0]} /> },
  {
    name: "release",
    from: 800,
    width: "68px",
    by: (row) => row.live,
    cell: (row) => (row.live === 0 ? "none yet" : row.live),
  },
  {
    name: "nodes",
    from: 600,
    width: "minmax(98px, 0.9fr)",
    by: (row) => row.nodes.join(),
    cell: (row) => <Nodes names={row.nodes} />,
  },
  {
    name: "CPU",
    from: 760,
    width: "72px",
    by: (row) => row.cpu ?? -1,
    cell: (row) => (row.cpu === null ? "" : cores(row.cpu)),
  },
  {
    name: "memory",
    from: 700,
    width: "84px",
    by: (row) => row.memoryMib ?? -1,
    cell: (row) => (row.memoryMib === null ? "" : `${count(Math.round(row.memoryMib))} MiB`),
  },
  { name: "restarts", width: "72px", by: (row) => row.restarts, cell: (row) => <Restarts many={row.restarts} /> },
];

/** Cores in use, as a share of one. */
export function cores(value: number): string {
  return `${Math.round(value * 100)} %`;
}

function Address({ url }: { url: string | undefined }) {
  if (url === undefined) return <span className="mute">nothing is routed to it</span>;
  return (
    <a href={url} target="_blank" rel="noopener noreferrer">
      {url.replace(/^https?:\/\//, "")}
    </a>
  );
}

function Nodes({ names }: { names: readonly string[] }) {
  const more = names.length > 1 ? ` and ${names.length - 1} more` : "";
  return (
    <span title={names.join(", ")}>
      <span className="mono">{names[0]}</span>
      {more}
    </span>
  );
}

function Restarts({ many }: { many: number }) {
  return many === 0 ? <span className="mute">none</span> : <b>{count(many)}</b>;
}

function Apps() {
  const navigate = useNavigate();
  const may = useMay("submitter");
  const apps = useLiveApps();
  const deploy = () => navigate({ to: "/clusters/new" });
  useKeys(may ? [{ keys: "n", says: "deploy an app", run: deploy }] : []);
  const rows = apps.data ?? [];
  const troubled = rows.filter((row) => row.reason !== null && ["failed", "degraded"].includes(row.state));
  return (
    <Page
      title="Apps"
      aside={
        <>
          <AsCurl path="/api/clusters" />
          {may && (
            <Link to="/clusters/new" className="button main">
              Deploy an app
            </Link>
          )}
        </>
      }
      fill
    >
      {apps.isPending ? (
        <Loading what="apps" />
      ) : apps.isError && rows.length === 0 ? (
        <Failed what="apps" error={apps.error} again={() => void apps.refetch()} />
      ) : rows.length === 0 ? (
        <NoApps may={may} />
      ) : (
        <>
          {troubled.length > 0 && (
            <ul className={`${looks.note} ${looks.lines}`} aria-label="Apps that need you">
              {troubled.slice(0, 5).map((row) => (
                <li key={row.id}>
                  <StateMark {...appMark(row)} />{" "}
                  <Link to="/clusters/$id" params={{ id: row.id }}>
                    <bdi>{row.title || row.name}</bdi>
                  </Link>
                  : <bdi>{row.reason && shortly(row.reason)}</bdi>
                </li>
              ))}
            </ul>
          )}
          <div className={styles.table}>
            <Table
              label="Apps, newest first"
              columns={COLUMNS}
              rows={rows}
              idOf={(row) => row.id}
              open={(row) => void navigate({ to: "/clusters/$id", params: { id: row.id } })}
            />
          </div>
        </>
      )}
    </Page>
  );
}

function NoApps({ may }: { may: boolean }) {
  return (
    <Empty title="No app is deployed yet.">
      <p>
        An app is a program that keeps running: a website, an API, a worker. Anchor builds it on a node, keeps it up,
        and gives it an address.
      </p>
      <p>From the folder of a program, in a terminal:</p>
      <p className="mono">anchor app deploy .</p>
      {may ? (
        <p>
          Or <Link to="/clusters/new">choose a folder here</Link>; without one you get a small Express app to begin
          with.
        </p>
      ) : (
        <p className="mute">Your role only lets you look: ask for a key of a submitter to deploy one.</p>
      )}
    </Empty>
  );
}
