/** What the page of tasks asks: rows by their place in a list of any length, their newest states, and exact counts. */
import { type QueryClient, useQueries, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRef } from "react";
import { api, type TaskRow, take, takeWhole } from "../../api/client";
import { isOver, PACE_MS } from "../../api/queries";
import type { Asked } from "./filter";

/** Rows that are fetched together. */
const BATCH = 100;
/** Rows that the table has places for: a browser draws nothing taller. */
export const ROWS_MAX = 1_000_000;
/** Counting may take this share of the time, however long one count takes. */
const COUNTING_SHARE = 0.1;

interface Batch {
  rows: readonly TaskRow[];
  /** How many there are in all; null where the server did not say. */
  total: number | null;
  /** Where the list goes on; null at its end. */
  next: Place | null;
}

interface Place {
  cursor?: string;
  offset?: number;
}

/** A list as it was when somebody began to look at it: `since` is a number that tells it from later ones. */
export interface List {
  asked: Asked;
  since: number;
}

export interface Rows {
  /** How many rows there are; null while nobody knows. */
  count: number | null;
  total: number | null;
  row: (index: number) => TaskRow | undefined;
  /** The newest task of the list. */
  newest: string | undefined;
  error: Error | null;
  again: () => void;
  /** The rows from one place to before another, fetched where they are missing. */
  fetch: (from: number, to: number) => Promise<TaskRow[]>;
}

const keyOf = ({ asked, since }: List, number: number) => ["tasks", "list", asked, since, number] as const;

/** The rows of a list: those in sight and the first ones; what is there stays in its place, whatever comes or goes. */
export function useRows(list: List, first: number, last: number, enabled: boolean): Rows {
  const client = useQueryClient();
  const from = Math.floor(first / BATCH);
  const to = Math.max(from, Math.floor(last / BATCH));
  const numbers = [...new Set([0, ...Array.from({ length: to - from + 1 }, (_, at) => from + at)])];
  const options = (number: number) => ({
    queryKey: keyOf(list, number),
    queryFn: ({ signal }: { signal: AbortSignal }) => batch(client, list, number, signal),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const found = useQueries({
    // The others count on from the first, which says where the list begins.
    queries: numbers.map((number) => ({
      ...options(number),
      enabled: enabled && (number === 0 || client.getQueryData(keyOf(list, 0)) !== undefined),
    })),
  });
  const start = found[0]?.data;
  const end = useRef<{ key: string; count: number }>(null);
  const key = JSON.stringify(keyOf(list, 0));
  for (const [at, one] of found.entries()) {
    // A list may be shorter by the time its end is reached than it was when its beginning was read.
    if (one.data !== undefined && one.data.next === null && one.data.rows.length > 0) {
      end.current = { key, count: numbers[at]! * BATCH + one.data.rows.length };
    }
  }
  const total = start === undefined ? null : start.next === null ? start.rows.length : start.total;
  const known = end.current?.key === key ? end.current.count : total;
  return {
    count: start === undefined ? null : Math.min(known ?? BATCH, ROWS_MAX),
    total,
    newest: start?.rows[0]?.id,
    row: (index) => client.getQueryData<Batch>(keyOf(list, Math.floor(index / BATCH)))?.rows[index % BATCH],
    error: found.find((one) => one.isError)?.error ?? null,
    again: () => {
      for (const one of found) if (one.isError) void one.refetch();
    },
    fetch: async (from, to) => {
      const rows: TaskRow[] = [];
      for (let number = Math.floor(from / BATCH); number * BATCH < to; number++) {
        const { rows: some } = await client.ensureQueryData(options(number));
        rows.push(...some.slice(Math.max(0, from - number * BATCH), to - number * BATCH));
      }
      return rows;
    },
  };
}

/** One batch, counted on from the nearest one above it that is here, so that what left the list shifts nothing. */
async function batch(client: QueryClient, list: List, number: number, signal: AbortSignal): Promise<Batch> {
  let above = number - 1;
  while (above >= 0 && client.getQueryData(keyOf(list, above)) === undefined) above -= 1;
  const before = above < 0 ? undefined : client.getQueryData<Batch>(keyOf(list, above));
  let place: Place | null = before === undefined ? {} : before.next;
  const skip = (number - above - 1) * BATCH;
  if (place !== null && skip > 0) place = { ...place, offset: skip };
  const rows: TaskRow[] = [];
  let total: number | null = null;
  // One answer may hold fewer rows than asked for: it looks at a bounded number of tasks.
  while (place !== null && rows.length < BATCH) {
    const query: Asked & Place & { limit: number } = { ...list.asked, ...place, limit: BATCH - rows.length };
    const { data, response } = await takeWhole(api.GET("/api/tasks", { params: { query }, signal }));
    rows.push(...data);
    total ??= numberOf(response.headers.get("x-total-count"));
    place = nextOf(response);
  }
  return { rows, total, next: place };
}

function numberOf(text: string | null): number | null {
  return text === null ? null : Number(text);
}

/** Where a list goes on, by its Link header; null where it does not. */
function nextOf(response: Response): Place | null {
  const link = response.headers.get("link")?.match(/<([^>]*)>; rel="next"/)?.[1];
  if (link === undefined) return null;
  const words = new URL(link, "http://server").searchParams;
  const [cursor, offset] = [words.get("cursor"), words.get("offset")];
  return { ...(cursor === null ? {} : { cursor }), ...(offset === null ? {} : { offset: Number(offset) }) };
}

/** Keep the rows in sight as they are now, each in its place. */
export function useFreshRows(list: List, rows: readonly TaskRow[]): void {
  const client = useQueryClient();
  const ids = rows.filter((row) => !isOver(row.state)).map((row) => row.id);
  useQuery({
    queryKey: ["tasks", "now", ids],
    enabled: ids.length > 0,
    refetchInterval: PACE_MS,
    gcTime: 0,
    queryFn: async ({ signal }) => {
      const query = { ids: ids.join(",") };
      const now = await take(api.GET("/api/tasks", { params: { query }, signal }));
      const byId = new Map(now.map((row) => [row.id, row]));
      client.setQueriesData<Batch>(
        { queryKey: ["tasks", "list", list.asked, list.since] },
        (old) => old && { ...old, rows: old.rows.map((row) => byId.get(row.id) ?? row) },
      );
      return now.length;
    },
  });
}

/** How many tasks are in each state, those of any state that otherwise fit, and how many of them came after `before`. */
export function useCounts({ state: _, ...asked }: Asked, before: string | undefined, enabled: boolean) {
  const took = useRef(0);
  return useQuery({
    queryKey: ["tasks", "counts", asked, before],
    enabled,
    queryFn: async ({ signal }) => {
      const begun = performance.now();
      const query = { ...asked, ...(before === undefined ? {} : { before }) };
      const counts = await take(api.GET("/api/tasks/counts", { params: { query }, signal }));
      took.current = performance.now() - begun;
      return counts;
    },
    refetchInterval: () => Math.max(PACE_MS, took.current / COUNTING_SHARE),
    placeholderData: (old, query) => (JSON.stringify(query?.queryKey[2]) === JSON.stringify(asked) ? old : undefined),
  });
}
