/** What the page of a run asks of the items of a parallel step: exact counts, and rows by their place in the list. */
import { keepPreviousData, useQueries, useQuery } from "@tanstack/react-query";
import { useRef } from "react";
import { api, take } from "../../api/client";
import { PACE_MS } from "../../api/queries";
import type { components, operations } from "../../api/schema";
import { type Counts, wordOf } from "../../graph/StateBar";

export type ItemView = components["schemas"]["ItemView"];
type Query = NonNullable<operations["dag_items_get_dags_id_items"]["parameters"]["query"]>;
export type ItemState = NonNullable<Query["state"]>;

/** Rows that are fetched together. */
const BATCH = 100;
/** A list is looked at for no more than a tenth of the time, however long a look takes. */
const REST_TIMES = 9;
const FAILED = ["failed", "inconclusive", "cancelled", "skipped"];

/** Which items: those of a step of a run; `over` says that nothing happens to them any more. */
export interface Of {
  run: string;
  step: string;
  over: boolean;
}

/** How many of these items did not succeed, for good. */
export function failedOf(counts: Counts): number {
  return FAILED.reduce((all, state) => all + (counts[state] ?? 0), 0);
}

/** How an item is shown: one that was never given to a node has its result from the run before. */
export function sayingOfItem({ state, attempt }: ItemView): { state: string; word: string } {
  if (state === "succeeded" && attempt === 0) return { state: "reused", word: wordOf("reused") };
  return { state, word: wordOfItems(state) };
}

/** The word for items in this state. */
export function wordOfItems(state: string): string {
  if (state === "waiting") return "not made yet";
  return state === "skipped" ? "never begun" : wordOf(state);
}

/** How many items are in each state; a running one is counted as running, whoever knows of its start. */
export function useItemCounts({ run, step, over }: Of) {
  const took = useRef(0);
  return useQuery({
    queryKey: ["run-items", run, step, "counts", over],
    queryFn: async ({ signal }) => {
      const begun = performance.now();
      const params = { path: { id: run }, query: { step } };
      const { counts, total } = await take(api.GET("/api/dags/{id}/items/counts", { params, signal }));
      took.current = performance.now() - begun;
      const { leased = 0, ...others } = counts;
      return { total, counts: (leased > 0 ? { ...others, running: leased } : others) as Counts };
    },
    refetchInterval: () => (over ? false : Math.max(PACE_MS, REST_TIMES * took.current)),
    placeholderData: keepPreviousData,
  });
}

/** The items in a state (or all), those from one place in that list to another; the others as they were last seen. */
export function useItems({ run, step, over }: Of, state: ItemState | undefined, first: number, last: number) {
  const from = Math.floor(first / BATCH);
  const took = useRef(0);
  const numbers = Array.from({ length: Math.floor(last / BATCH) - from + 1 }, (_, at) => from + at);
  const found = useQueries({
    queries: numbers.map((number) => ({
      queryKey: ["run-items", run, step, state, number, over],
      queryFn: async ({ signal }: { signal: AbortSignal }) => {
        const begun = performance.now();
        const query = { step, limit: BATCH, offset: number * BATCH, ...(state === undefined ? {} : { state }) };
        const rows = await take(api.GET("/api/dags/{id}/items", { params: { path: { id: run }, query }, signal }));
        took.current = performance.now() - begun;
        return rows;
      },
      refetchInterval: () => (over ? (false as const) : Math.max(PACE_MS, REST_TIMES * took.current)),
      // The same list once it is over; never the rows of another place of it.
      placeholderData: (old: readonly ItemView[] | undefined, query?: { queryKey: readonly unknown[] }) =>
        query?.queryKey[4] === number && query.queryKey[3] === state ? (old as ItemView[] | undefined) : undefined,
    })),
  });
  return {
    row: (index: number): ItemView | undefined => found[Math.floor(index / BATCH) - from]?.data?.[index % BATCH],
    error: found.find((one) => one.isError)?.error ?? null,
    again: () => {
      for (const one of found) if (one.isError) void one.refetch();
    },
  };
}
