/** How many there are of what the navigation lists, each from its cheapest source. */
import { useQuery } from "@tanstack/react-query";
import { api, takeWhole } from "../api/client";
import { PACE_MS, useNodes, useOpenCases } from "../api/queries";
import { useRoom } from "../live/socket";
import { foldFleet } from "../live/watch";
import type { Place } from "./places";

interface Counted {
  total: number;
}

const latest = (_: Counted, data: Counted) => data;

function useTotal(of: "/api/tasks" | "/api/dags" | "/api/clusters", pace: number, enabled = true) {
  const total = useQuery({
    queryKey: ["total", of],
    enabled,
    refetchInterval: pace,
    queryFn: async ({ signal }) => {
      const { response } = await takeWhole(api.GET(of, { params: { query: { limit: 1 } }, signal }));
      return Number(response.headers.get("x-total-count") ?? Number.NaN);
    },
  }).data;
  return Number.isNaN(total) ? undefined : total;
}

/** The counts by place; undefined where a place has none, or it is not known yet. */
export function useCounts(): Partial<Record<Place["to"], number | undefined>> {
  const tasks = useRoom<Counted>("tasks", latest);
  const fleet = useRoom("fleet", foldFleet);
  const listed = useNodes(!fleet.live).data?.length;
  const counted = useTotal("/api/tasks", PACE_MS, !tasks.live);
  return {
    "/tasks": tasks.picture?.total ?? counted,
    "/dags": useTotal("/api/dags", 2 * PACE_MS),
    "/apps": useTotal("/api/clusters", 2 * PACE_MS),
    "/nodes": fleet.picture?.nodes.length ?? listed,
    "/cases": useOpenCases().data?.length,
  };
}
