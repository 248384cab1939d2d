/** The audit trail as the page Events asks for it: filtered pages, and what is new. */
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { type AuditEntry, entriesOf } from "../../api/audit";

export type Entry = AuditEntry;

/** What an address may ask for; the values as they are typed. */
export const FIELDS = ["text", "kind", "by", "subject", "from", "to"] as const;
export type Filter = Partial<Record<(typeof FIELDS)[number], string>>;

const PAGE = 200;
const KEPT = 500;

/** The filter in an address, without what is empty. */
export function filterOf(search: Readonly<Record<string, string | undefined>>): Filter {
  return Object.fromEntries(FIELDS.flatMap((name) => (search[name] ? [[name, search[name]]] : [])));
}

/** The same for the server: days are whole, and of this browser's time zone. */
export function queryOf({ from, to, ...rest }: Filter): Record<string, string> {
  const since = momentOf(from, "T00:00:00.000");
  const until = momentOf(to, "T23:59:59.999");
  return { ...rest, ...(since && { since }), ...(until && { until }) };
}

function momentOf(day: string | undefined, time: string): string | null {
  const moment = day === undefined ? Number.NaN : Date.parse(`${day}${time}`);
  return Number.isNaN(moment) ? null : new Date(moment).toISOString();
}

/** Whether an entry that came live is one that the filter is about. */
export function fits(entry: Entry, filter: Filter): boolean {
  const { since, until } = queryOf(filter);
  const at = Date.parse(entry.at);
  const text = filter.text?.toLowerCase();
  return (
    (!filter.kind || entry.kind === filter.kind) &&
    (!filter.by || entry.by === filter.by) &&
    (!filter.subject || entry.subject === filter.subject) &&
    (since === undefined || at >= Date.parse(since)) &&
    (until === undefined || at <= Date.parse(until)) &&
    (!text || `${entry.message}\n${entry.subject}\n${entry.by}\n${entry.kind}`.toLowerCase().includes(text))
  );
}

/** Entries, newest first, page by page, and how many there are in all (null where something is asked for). */
export function useEntries(filter: Filter) {
  const query = queryOf(filter);
  return useInfiniteQuery({
    queryKey: ["audit", query],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) => {
      return entriesOf({ ...query, limit: PAGE, ...(pageParam === undefined ? {} : { cursor: pageParam }) }, signal);
    },
    getNextPageParam: (page) => page.next,
    placeholderData: keepPreviousData,
  });
}

interface News {
  entries: readonly Entry[];
}

/** What came since the room was joined, newest first. */
export function foldNews(picture: News, data: News): News {
  return { entries: [...data.entries, ...picture.entries].slice(0, KEPT) };
}

/** Whether entries between the newest one of a list and those that came live are not there. */
export function hasGap(live: readonly Entry[], newest: number): boolean {
  const oldest = live.at(-1)?.number;
  return oldest !== undefined && oldest > newest + 1;
}
