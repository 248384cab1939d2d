/** Who did what: the audit trail, as it grows. */
import { createLazyRoute, Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useEffect, useRef, useState } from "react";
import { useRoom } from "../../live/socket";
import { AsCurl } from "../../ui/AsCurl";
import { Fact, Facts } from "../../ui/Facts";
import { Page } from "../../ui/Page";
import { Empty, Failed, Loading } from "../../ui/Said";
import { type Column, Table } from "../../ui/Table";
import { at, count } from "../../ui/words";
import styles from "./Events.module.css";
import { Filters, inWords } from "./Filters";
import { type Entry, type Filter, filterOf, fits, foldNews, hasGap, queryOf, useEntries } from "./queries";
import { Subject } from "./Subject";

export const route = createLazyRoute("/events")({ component: Events });

const COLUMNS: readonly Column<Entry>[] = [
  { name: "when", width: "minmax(84px, 0.5fr)", narrow: "84px", cell: (entry) => at(entry.at) },
  { name: "what happened", width: "minmax(120px, 0.6fr)", cell: (entry) => <Kind of={entry.kind} /> },
  {
    name: "in words",
    width: "minmax(150px, 2.4fr)",
    narrow: "minmax(0, 1fr)",
    cell: (entry) => <bdi title={entry.message}>{entry.message}</bdi>,
  },
  { name: "about", from: 600, width: "minmax(100px, 0.8fr)", cell: (entry) => <Subject of={entry.subject} quiet /> },
  { name: "by", width: "minmax(76px, 0.5fr)", narrow: "70px", cell: (entry) => <bdi>{entry.by}</bdi> },
];

function Kind({ of }: { of: string }) {
  const isVerdict = /^(attempt_refused|case_|node_quarantined)/.test(of);
  return <span className={isVerdict ? styles.verify : styles.kind}>{inWords(of)}</span>;
}

function Events() {
  const navigate = useNavigate();
  const filter = filterOf(useSearch({ from: "/events" }));
  const query = queryOf(filter);
  const path = (extra: Record<string, string>) => `/api/audit?${new URLSearchParams({ ...query, ...extra })}`;
  return (
    <Page
      title="Events"
      aside={
        <>
          <AsCurl path={path({ limit: "50" })} />
          <a className="button" href={path({ as: "csv" })} download>
            Save as CSV
          </a>
          <a className="button" href={path({ as: "jsonl" })} download>
            JSON lines
          </a>
        </>
      }
      fill
    >
      <Trail
        filter={filter}
        key={JSON.stringify(filter)}
        change={(wanted) => void navigate({ to: "/events", search: filterOf(wanted) })}
      />
    </Page>
  );
}

function Trail({ filter, change }: { filter: Filter; change: (filter: Filter) => void }) {
  const entries = useEntries(filter);
  const listed = entries.data?.pages.flatMap((page) => page.rows) ?? [];
  const total = entries.data?.pages[0]?.total ?? null;
  const { shown, waiting, show, scrolled } = useNews(listed, filter, entries.isSuccess, () => void entries.refetch());
  const [chosen, setChosen] = useState<string | null>(null);
  const entry = shown.find((one) => String(one.number) === chosen);
  const { fetchNextPage, hasNextPage, isFetchingNextPage } = entries;
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [fetchNextPage, hasNextPage, isFetchingNextPage]);
  const table = useRef<HTMLDivElement>(null);
  return (
    <>
      <Filters filter={filter} seenKinds={listed.map((one) => one.kind)} change={change} />
      {entries.isPending ? (
        <Loading what="events" />
      ) : entries.isError && listed.length === 0 ? (
        <Failed what="events" error={entries.error} again={() => void entries.refetch()} />
      ) : shown.length === 0 ? (
        hasNextPage ? (
          <Empty title="Nothing like this in the newest entries.">
            <button type="button" className="button" disabled={isFetchingNextPage} onClick={() => more()}>
              Look further back
            </button>
          </Empty>
        ) : (
          <NoEvents filtered={Object.keys(filter).length > 0} />
        )
      ) : (
        <>
          <div
            ref={table}
            className={styles.table}
            style={{ "--rows": shown.length + 1 } as React.CSSProperties}
            onScrollCapture={(event) => scrolled((event.target as HTMLElement).scrollTop)}
          >
            {waiting > 0 && (
              <button
                type="button"
                className={`button main ${styles.newer}`}
                onClick={() => {
                  show();
                  table.current?.querySelector("[role=grid]")?.scrollTo(0, 0);
                }}
              >
                {count(waiting)} newer ↑
              </button>
            )}
            <Table
              label="Events, newest first"
              columns={COLUMNS}
              rows={shown}
              idOf={(one) => String(one.number)}
              total={hasNextPage ? null : shown.length}
              more={more}
              chosen={chosen}
              choose={setChosen}
            />
          </div>
          {entry !== undefined && <OneEntry entry={entry} />}
          <p className={`mute ${styles.foot}`}>
            <span>{total === null ? `${count(shown.length)} found so far` : `${count(total)} in all`}</span>
            <span>
              Each entry bears a seal over all before it: <span className="mono">anchor audit verify</span> tells
              whether anybody changed one.
            </span>
          </p>
        </>
      )}
    </>
  );
}

/** What came live above the list: shown at once while one looks at its top, else counted until it is asked for. */
function useNews(listed: readonly Entry[], filter: Filter, isLoaded: boolean, again: () => void) {
  const live = useRoom("events", foldNews).picture?.entries ?? [];
  const [upTo, setUpTo] = useState(0);
  const isAtTop = useRef(true);
  const newest = listed[0]?.number ?? 0;
  const isMissing = isLoaded && Object.keys(filter).length === 0 && hasGap(live, newest);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a gap is what it waits for
  useEffect(() => {
    if (isMissing) again();
  }, [isMissing, newest]);
  const above = isLoaded ? live.filter((entry) => entry.number > newest && fits(entry, filter)) : [];
  const top = above[0]?.number ?? 0;
  useEffect(() => {
    if (isAtTop.current && top > upTo) setUpTo(top);
  }, [top, upTo]);
  const seen = above.filter((entry) => entry.number <= upTo);
  return {
    shown: [...seen, ...listed],
    waiting: above.length - seen.length,
    show: () => setUpTo(top),
    scrolled: (offset: number) => {
      isAtTop.current = offset < 8;
      if (isAtTop.current && top > upTo) setUpTo(top);
    },
  };
}

function OneEntry({ entry }: { entry: Entry }) {
  return (
    <section className={styles.entry} aria-label={`Entry ${entry.number}`}>
      <p className={styles.message}>
        <bdi>{entry.message}</bdi>
      </p>
      <Facts>
        <Fact name="Number">{count(entry.number)}</Fact>
        <Fact name="When">{new Date(entry.at).toLocaleString("en-GB")}</Fact>
        <Fact name="What happened">
          <Kind of={entry.kind} />
        </Fact>
        <Fact name="About">
          <Subject of={entry.subject} />{" "}
          <Link to="/events" search={{ subject: entry.subject }}>
            all about it
          </Link>
        </Fact>
        <Fact name="By">
          <bdi>{entry.by}</bdi>{" "}
          <Link to="/events" search={{ by: entry.by }}>
            all by them
          </Link>
        </Fact>
        <Fact name="Seal">
          <span className={`mono ${styles.seal}`}>{entry.seal}</span>
        </Fact>
      </Facts>
    </section>
  );
}

function NoEvents({ filtered }: { filtered: boolean }) {
  if (filtered) {
    return (
      <Empty title="No event is like this.">
        <Link to="/events">Show all events</Link>
      </Empty>
    );
  }
  return (
    <Empty title="Nothing happened yet that somebody may ask about later.">
      <p>
        Who joined, who was given a key, which node was drained or blocked, and which answers were refused is written
        down here. <Link to="/nodes/add">Add a node</Link>, and it is the first entry.
      </p>
    </Empty>
  );
}
