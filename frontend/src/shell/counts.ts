/** How many there are of what the navigation lists, each from its cheapest source. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { api, takeWhole } from "../api/client";
import { PACE_MS, useNodes, useOpenCases } from "../api/queries";
import { foldFleet, useFleetSize } from "../fleet/source";
import { latest, type Seen } from "../live/rooms";
import { useRoomPart } from "../live/socket";

import type { Place } from "./places";

interface Counted {
  total: number;
}

const isLive = (seen: Seen<unknown>) => seen.live;
const totalOf = (seen: Seen<Counted>) => (seen.live ? seen.picture?.total : undefined);

function useTotal(of: "/api/tasks" | "/api/dags" | "/api/clusters", pace: number, enabled = true) {
  const total = useQuery({
    queryKey: ["total", of],
    enabled,
    refetchInterval: pace,
    queryFn: async ({ signal }) => {
      const { response } = await takeWhole(api.GET(of, { params: { query: { limit: 1 } }, signal }));
      const told = response.headers.get("x-total-count");
      return told === null ? null : Number(told);
    },
  }).data;
  return total ?? undefined;
}

/** Cases are told of as they come, and only the newest: how many are open is asked for anew each time. */
function useOpenCaseCount(): number | undefined {
  const client = useQueryClient();
  const told = useRoomPart<unknown, unknown>("cases", latest, (seen) => (seen.live ? seen.picture : null));
  useEffect(() => {
    if (told !== null) void client.invalidateQueries({ queryKey: ["cases", "open"] });
  }, [client, told]);
  return useOpenCases(told !== null).data?.length;
}

/** The counts by place; undefined where a place has none, or it is not known yet. */
export function useCounts(): Partial<Record<Place["to"], number | undefined>> {
  const tasks = useRoomPart("tasks", latest, totalOf);
  const fleetLives = useRoomPart("fleet", foldFleet, isLive);
  const nodes = useFleetSize();
  const listed = useNodes(!fleetLives).data?.length;
  const counted = useTotal("/api/tasks", PACE_MS, tasks === undefined);
  return {
    "/tasks": tasks ?? counted,
    "/dags": useTotal("/api/dags", 2 * PACE_MS),
    "/apps": useTotal("/api/clusters", 2 * PACE_MS),
    "/nodes": fleetLives ? nodes : listed,
    "/cases": useOpenCaseCount(),
  };
}
