/** What the pages of workflows ask of runs, and what can be done with one. */
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { api, take, takeWhole } from "../../api/client";
import { nextCursor, PACE_MS } from "../../api/queries";
import type { components } from "../../api/schema";

type Schemas = components["schemas"];
export type RunListed = Schemas["RunListed"];
export type RunView = Schemas["RunView"];
export type StepView = Schemas["StepView"];

/** The states a run can be in. */
export const RUN_STATES = ["running", "cancelling", "succeeded", "failed", "cancelled"] as const;
export type RunState = (typeof RUN_STATES)[number];

const PAGE = 100;
const OVER: ReadonlySet<string> = new Set(["succeeded", "failed", "cancelled"]);

/** Whether nothing more happens to a run. */
export function isRunOver(state: string): boolean {
  return OVER.has(state);
}

/** Runs, newest first, page by page, with how far each is; the first page is kept up to date. */
export function useRuns(state: RunState | undefined) {
  return useInfiniteQuery({
    queryKey: ["runs", state],
    initialPageParam: undefined as string | undefined,
    queryFn: async ({ pageParam, signal }) => {
      const query = {
        counts: true,
        limit: PAGE,
        ...(state === undefined ? {} : { state }),
        ...(pageParam === undefined ? {} : { cursor: pageParam }),
      };
      const { data, response } = await takeWhole(api.GET("/api/dags", { params: { query }, signal }));
      const total = response.headers.get("x-total-count");
      return { rows: data, total: total === null ? null : Number(total), next: nextCursor(response) };
    },
    getNextPageParam: (page) => page.next,
    refetchInterval: (query) => ((query.state.data?.pages.length ?? 1) === 1 ? PACE_MS : false),
    placeholderData: keepPreviousData,
  });
}

/** What of a run is to run again; everything where nothing is named. */
export interface Again {
  from?: string;
  onlyFailed?: boolean;
  item?: { step: string; number: number };
  failedItems?: string;
}

/** Run a run that is over again, as a new one. */
export function runAgain(id: string, what: Again) {
  const body = what as Schemas["RerunRequest"];
  return take(api.POST("/api/dags/{id}/rerun", { params: { path: { id } }, body }));
}

/** Cancel a run. */
export function cancelRun(id: string) {
  return take(api.POST("/api/dags/{id}/cancel", { params: { path: { id } } }));
}
