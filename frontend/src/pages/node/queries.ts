/** What the page of one node asks the server. */
import { useQuery } from "@tanstack/react-query";
import { entriesOf } from "../../api/audit";
import { api, type NodeView, take } from "../../api/client";
import { PACE_MS } from "../../api/queries";
import { latest } from "../../live/rooms";
import { useRoom } from "../../live/socket";

const SLOWLY_MS = 10_000;
const SHOWN_MAX = 20;

/** One node, as it is now. */
export function useNode(id: string) {
  const room = useRoom<NodeView>(`node:${id}`, latest);
  const node = useQuery({
    queryKey: ["node", id],
    queryFn: ({ signal }) => take(api.GET("/api/nodes/{id}", { params: { path: { id } }, signal })),
    refetchInterval: room.live ? false : PACE_MS,
  });
  return { data: (room.live ? room.picture : null) ?? node.data, error: node.error, again: node.refetch };
}

/** What it has to do now: the tasks leased to it, the newest first. */
export function useTasksOn(node: string) {
  return useQuery({
    queryKey: ["node", node, "tasks"],
    queryFn: ({ signal }) =>
      take(api.GET("/api/tasks", { params: { query: { node, state: "leased", limit: SHOWN_MAX } }, signal })),
    refetchInterval: PACE_MS,
  });
}

/** The apps that are on it. */
export function useAppsOn(node: string, enabled: boolean) {
  return useQuery({
    queryKey: ["apps"],
    enabled,
    queryFn: ({ signal }) => take(api.GET("/api/clusters", { signal })),
    refetchInterval: SLOWLY_MS,
    select: (apps) => apps.filter((app) => app.nodes.includes(node)),
  });
}

/** The newest cases in which it gave another answer than the one agreed on. */
export function useCasesOf(node: string) {
  return useQuery({
    queryKey: ["node", node, "cases"],
    queryFn: async ({ signal }) => {
      const cases = await take(api.GET("/api/verification/cases", { params: { query: { limit: 200 } }, signal }));
      return cases.filter((one) => one.dissenters.includes(node));
    },
    refetchInterval: SLOWLY_MS,
  });
}

/** What the audit trail says of it. */
export function useEventsOf(node: string, enabled: boolean) {
  return useQuery({
    queryKey: ["node", node, "events"],
    enabled,
    queryFn: async ({ signal }) => (await entriesOf({ subject: node, limit: SHOWN_MAX }, signal)).rows,
    refetchInterval: SLOWLY_MS,
  });
}
