/** What was used and given: by owner, node and app. */
import { createLazyRoute, Link, useNavigate, useSearch } from "@tanstack/react-router";
import { AsCurl } from "../../ui/AsCurl";
import { Page } from "../../ui/Page";
import { Empty, Failed, Loading } from "../../ui/Said";
import { type Column, Table } from "../../ui/Table";
import { count } from "../../ui/words";
import { Days } from "./Days";
import { askedOf, BYS, type By, csvOf, type Day, RANGES, type Use, useUsage, worked } from "./queries";
import styles from "./Usage.module.css";

export const route = createLazyRoute("/usage")({ component: Usage });

const WORDS: Record<By, { choice: string; what: string; label: string }> = {
  owner: { choice: "used, by owner", what: "owner", label: "What each owner used, most first" },
  node: { choice: "given, by node", what: "node", label: "What each node gave, most first" },
  app: { choice: "used, by app", what: "app", label: "What each app used, most first" },
};

function Usage() {
  const navigate = useNavigate();
  const { by, days } = askedOf(useSearch({ from: "/usage" }));
  const usage = useUsage(by, days);
  const go = (search: { by: By; days: number }) =>
    void navigate({ to: "/usage", search: { by: search.by, days: String(search.days) } });
  const rows = usage.data?.by === by ? usage.data.rows : [];
  const isNothing = usage.data?.days.every((day) => day.attempts === 0 && day.wallSeconds === 0) ?? false;
  return (
    <Page
      title="Usage"
      aside={
        <>
          <AsCurl path={`/api/usage?by=${by}&days=${days}`} />
          <button type="button" className="button" disabled={rows.length === 0} onClick={() => save(by, days, rows)}>
            Save as CSV
          </button>
        </>
      }
      fill
    >
      <div className={styles.choices}>
        <fieldset>
          <legend className="unseen">What is summed up</legend>
          {BYS.map((one) => (
            <button
              key={one}
              type="button"
              className={styles.choice}
              aria-pressed={one === by}
              onClick={() => go({ by: one, days })}
            >
              {WORDS[one].choice}
            </button>
          ))}
        </fieldset>
        <fieldset>
          <legend className="unseen">Of how many days</legend>
          {RANGES.map((one) => (
            <button
              key={one}
              type="button"
              className={styles.choice}
              aria-pressed={one === days}
              onClick={() => go({ by, days: one })}
            >
              {one === 1 ? "today" : `${one} days`}
            </button>
          ))}
        </fieldset>
      </div>
      {usage.isPending ? (
        <Loading what="usage" />
      ) : usage.isError && usage.data === undefined ? (
        <Failed what="usage" error={usage.error} again={() => void usage.refetch()} />
      ) : isNothing ? (
        <Nothing days={days} />
      ) : (
        <>
          <Totals days={usage.data!.days} />
          {usage.data!.days.length > 1 && <Days days={usage.data!.days} />}
          {rows.length === 0 ? (
            <Empty title={by === "app" ? "No app ran in these days." : "Nothing was used in these days."}>
              {by === "app" && <Link to="/apps">See the apps</Link>}
            </Empty>
          ) : (
            <div className={styles.table} style={{ "--rows": rows.length + 1 } as React.CSSProperties}>
              <Table label={WORDS[by].label} columns={columnsOf(by, rows)} rows={rows} idOf={(row) => row.name} />
            </div>
          )}
          <p className="mute">
            Each attempt of a task counts once, on the day it ended, as soon as the task is over
            {by === "app" ? "; apps are written down each minute" : ""}. CPU time is what the nodes measured.
          </p>
        </>
      )}
    </Page>
  );
}

function Totals({ days }: { days: readonly Day[] }) {
  const sum = (of: (day: Day) => number) => days.reduce((all, day) => all + of(day), 0);
  const failed = sum((day) => day.failed);
  return (
    <dl className={styles.totals}>
      <div>
        <dt className="label">CPU time</dt>
        <dd>{worked(sum((day) => day.cpuSeconds))}</dd>
      </div>
      <div>
        <dt className="label">Running time</dt>
        <dd>{worked(sum((day) => day.wallSeconds))}</dd>
      </div>
      <div>
        <dt className="label">Tasks</dt>
        <dd>{count(sum((day) => day.tasks))}</dd>
      </div>
      <div>
        <dt className="label">Failed</dt>
        <dd className={failed > 0 ? styles.failed : ""}>{count(failed)}</dd>
      </div>
    </dl>
  );
}

function columnsOf(by: By, rows: readonly Use[]): readonly Column<Use>[] {
  const most = Math.max(...rows.map((row) => row.cpuSeconds), 0);
  const name: Column<Use> = {
    name: WORDS[by].what,
    width: "minmax(120px, 1fr)",
    narrow: "minmax(0, 1fr)",
    cell: (row) => <Name by={by} row={row} />,
    by: (row) => row.name,
  };
  const cpu: Column<Use> = {
    name: "CPU time",
    width: "minmax(180px, 2fr)",
    narrow: "minmax(0, 1fr)",
    cell: (row) => <Bar share={most > 0 ? row.cpuSeconds / most : 0} amount={worked(row.cpuSeconds)} />,
    by: (row) => row.cpuSeconds,
  };
  const numbers: Column<Use>[] = [
    {
      name: "running time",
      from: 480,
      width: "110px",
      cell: (row) => worked(row.wallSeconds),
      by: (row) => row.wallSeconds,
    },
    ...(by === "app"
      ? []
      : ([
          { name: "tasks", width: "84px", narrow: "64px", cell: (row) => count(row.tasks), by: (row) => row.tasks },
          {
            name: "failed",
            from: 560,
            width: "76px",
            cell: (row) => <Failures many={row.failed} />,
            by: (row) => row.failed,
          },
          { name: "attempts", from: 660, width: "84px", cell: (row) => count(row.attempts), by: (row) => row.attempts },
        ] satisfies Column<Use>[])),
  ];
  const owner: Column<Use> = {
    name: "owner",
    from: 800,
    width: "130px",
    cell: (row) => <bdi>{row.owner}</bdi>,
    by: (row) => row.owner,
  };
  return by === "node" ? [name, owner, cpu, ...numbers] : [name, cpu, ...numbers];
}

function Name({ by, row }: { by: By; row: Use }) {
  if (by === "node") {
    return (
      <Link to="/nodes/$id" params={{ id: row.name }} tabIndex={-1} className="mono">
        {row.name}
      </Link>
    );
  }
  if (by === "app") {
    return (
      <Link to="/clusters/$id" params={{ id: row.name }} tabIndex={-1}>
        <bdi>{row.name}</bdi>
      </Link>
    );
  }
  return <bdi>{row.name}</bdi>;
}

function Bar({ share, amount }: { share: number; amount: string }) {
  return (
    <span className={styles.bar}>
      <span className={styles.amount}>{amount}</span>
      <span className={styles.track}>
        <span className={styles.filled} style={{ width: `${100 * share}%` }} />
      </span>
    </span>
  );
}

function Failures({ many }: { many: number }) {
  return <span className={many > 0 ? styles.failed : "mute"}>{count(many)}</span>;
}

function Nothing({ days }: { days: number }) {
  return (
    <Empty title={days === 1 ? "Nothing was used today." : `Nothing was used in the last ${days} days.`}>
      <p>
        This page sums up what each owner used, what each node gave, and what each app took: CPU time, running time and
        tasks, day by day, for 90 days.
      </p>
      <Link to="/tasks/new">Run a task</Link>
    </Empty>
  );
}

function save(by: By, days: number, rows: readonly Use[]): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csvOf(by, rows)], { type: "text/csv" }));
  link.download = `anchor-usage-by-${by}-${days}-days.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}
