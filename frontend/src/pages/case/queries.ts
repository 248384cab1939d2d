/** One case, who is in it, and what is done about it. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { api, type CaseRow, take } from "../../api/client";
import { PACE_MS } from "../../api/queries";
import { latest } from "../../live/rooms";
import { useRoom } from "../../live/socket";

interface CasesPicture {
  cases: CaseRow[];
}

/** One case, whole; asked for again as soon as the link tells that it changed. */
export function useCase(id: string) {
  const client = useQueryClient();
  const found = useQuery({
    queryKey: ["case", id],
    queryFn: ({ signal }) => take(api.GET("/api/verification/cases/{id}", { params: { path: { id } }, signal })),
    refetchInterval: PACE_MS * 2,
  });
  const room = useRoom<CasesPicture>("cases", latest);
  const state = room.live ? room.picture?.cases.find((row) => row.id === id)?.state : undefined;
  useEffect(() => {
    if (state !== undefined) void client.invalidateQueries({ queryKey: ["case", id] });
  }, [client, id, state]);
  return found;
}

/** How many tasks succeeded on a node whose answer nobody checked. */
export function useDoubtful(node: string, enabled: boolean) {
  return useQuery({
    queryKey: ["doubtful", node],
    enabled,
    queryFn: async ({ signal }) => {
      const query = { node, state: "succeeded" };
      const { counts } = await take(api.GET("/api/tasks/counts", { params: { query }, signal }));
      return counts.succeeded ?? 0;
    },
  });
}

export interface Again {
  done: number;
  failed: number;
  firstProblem: string;
}

/** Run every succeeded task of a node again, some hundred at a time; `told` hears how far it is. */
export async function runAgain(node: string, told: (so: Again) => void): Promise<Again> {
  const so: Again = { done: 0, failed: 0, firstProblem: "" };
  const filter = { node, state: "succeeded" };
  let cursor: string | null = null;
  // The same keys for the same node: who asks twice does not run them twice.
  for (let page = 0; page === 0 || cursor !== null; page++) {
    const outcome: { cursor: string | null; done: number; failed: { message: string }[] } = await take(
      api.POST("/api/tasks/bulk", {
        params: { header: { "Idempotency-Key": `doubt-${node}-${page}-${cursor ?? "first"}` } },
        body: { action: "retry", filter, cursor } as never,
      }),
    );
    so.done += outcome.done;
    so.failed += outcome.failed.length;
    so.firstProblem ||= outcome.failed[0]?.message ?? "";
    cursor = outcome.cursor;
    told({ ...so });
  }
  return so;
}
