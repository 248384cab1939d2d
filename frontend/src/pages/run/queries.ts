/** One run as it goes: over the live link, or asked for at a pace; its steps are read in pages when it has changed. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { api, take, takeWhole } from "../../api/client";
import { everyPage, PACE_MS } from "../../api/queries";
import { latest } from "../../live/rooms";
import { useRoom } from "../../live/socket";
import { isRunOver, type RunView, type StepView } from "../workflows/queries";

const PAGE = 1000;
/** Steps that are read; of a run with more, these are the first. */
const STEPS_HERE_MAX = 5000;
/** Steps are read again at once when something small changed, and for no more than a tenth of the time, up to a point. */
const REST_MS = 300;
const REST_TIMES = 9;
const REST_MS_MAX = 5000;

/** The run without its steps. */
export function useRun(id: string) {
  const room = useRoom<RunView>(`run:${id}`, latest);
  const asked = useQuery({
    queryKey: ["run", id],
    queryFn: ({ signal }) => take(api.GET("/api/dags/{id}", { params: { path: { id }, query: { steps: 0 } }, signal })),
    refetchInterval: (query) =>
      room.live || (query.state.data !== undefined && isRunOver(query.state.data.state)) ? false : PACE_MS,
  });
  const run = room.picture !== null && room.live ? room.picture : asked.data;
  return { run, pending: asked.isPending, error: asked.error, again: () => void asked.refetch() };
}

interface Read {
  steps: StepView[];
  version: string;
  ms: number;
}

/** The first steps of a run, in the order submitted, as they were soon after `version`. */
export function useSteps(id: string, version: string, over: boolean) {
  const wanted = useRef(version);
  wanted.current = version;
  const asked = useQuery({
    queryKey: ["run-steps", id],
    queryFn: async ({ signal }): Promise<Read> => {
      const begun = performance.now();
      const of = wanted.current;
      const steps = await everyPage<StepView>((cursor) => {
        const query = { limit: PAGE, ...cursor };
        return takeWhole(api.GET("/api/dags/{id}/steps", { params: { path: { id }, query }, signal }));
      }, STEPS_HERE_MAX);
      return { steps, version: of, ms: performance.now() - begun };
    },
    // That a node has begun with a step changes no count of the run's, so it is looked at now and then, too.
    refetchInterval: (query) => (over ? false : Math.max(PACE_MS, REST_TIMES * (query.state.data?.ms ?? 0))),
  });
  const { data, dataUpdatedAt, isFetching, refetch } = asked;
  const stale = data !== undefined && data.version !== version;
  const rest = Math.min(Math.max(REST_MS, REST_TIMES * (data?.ms ?? 0)), REST_MS_MAX);
  useEffect(() => {
    if (!stale || isFetching) return;
    const timer = setTimeout(() => void refetch(), Math.max(0, dataUpdatedAt + rest - Date.now()));
    return () => clearTimeout(timer);
  }, [stale, isFetching, dataUpdatedAt, rest, refetch]);
  return { steps: data?.steps ?? null, error: asked.error, again: () => void refetch() };
}
