/** What pages ask the server, as hooks: one place for keys, paces and shapes. */
import { QueryClient, useQuery } from "@tanstack/react-query";
import { api, Problem, take } from "./client";

/** How often what changes by itself is asked for again, while the page is looked at. */
export const PACE_MS = 2000;
/** The same, where the live link tells when there is something new. */
export const SELDOM_MS = 60_000;

/** The one cache. A refusal is final; a server that does not answer is asked again by the next tick. */
export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      retry: (count, error) => count < 1 && !(error instanceof Problem && error.status >= 400 && error.status < 500),
      retryDelay: 500,
      networkMode: "always",
    },
    mutations: { networkMode: "always" },
  },
});

/** The cursor of the Link header, if the list goes on. */
export function nextCursor(response: Response): string | undefined {
  const link = response.headers.get("link")?.match(/<([^>]*)>; rel="next"/)?.[1];
  return link === undefined ? undefined : (new URL(link, "http://server").searchParams.get("cursor") ?? undefined);
}

/** A whole list: `ask` is asked for page after page, until there are no more or `most` rows are here. */
export async function everyPage<Row>(
  ask: (cursor: { cursor?: string }) => Promise<{ data: readonly Row[]; response: Response }>,
  most = Number.POSITIVE_INFINITY,
): Promise<Row[]> {
  const found: Row[] = [];
  let cursor: string | undefined;
  do {
    const { data, response } = await ask(cursor === undefined ? {} : { cursor });
    found.push(...data);
    cursor = nextCursor(response);
  } while (cursor !== undefined && found.length < most);
  return found;
}

const OVER = new Set(["succeeded", "failed", "cancelled", "inconclusive"]);

/** Whether nothing more happens to a task in this state. */
export function isOver(state: string): boolean {
  return OVER.has(state);
}

/** The queues, counted from the truth. */
export function useQueue(enabled = true) {
  return useQuery({
    queryKey: ["queue"],
    enabled,
    queryFn: ({ signal }) => take(api.GET("/api/queue/stats", { signal })),
    refetchInterval: PACE_MS,
  });
}

/** Every node. */
export function useNodes(enabled = true) {
  return useQuery({
    queryKey: ["nodes"],
    enabled,
    queryFn: ({ signal }) => take(api.GET("/api/nodes", { signal })),
    refetchInterval: PACE_MS,
  });
}

/** Every app. */
export function useApps(enabled = true) {
  return useQuery({
    queryKey: ["apps"],
    enabled,
    queryFn: ({ signal }) => take(api.GET("/api/clusters", { signal })),
    refetchInterval: PACE_MS,
  });
}

/** The newest cases that nobody has judged yet; asked for seldom where a room tells when there is another. */
export function useOpenCases(isTold = false) {
  return useQuery({
    queryKey: ["cases", "open"],
    queryFn: async ({ signal }) => {
      const rows = await take(api.GET("/api/verification/cases", { signal }));
      return rows.filter((row) => row.state === "open");
    },
    refetchInterval: isTold ? SELDOM_MS : PACE_MS,
  });
}

/** Whether the server works, and what is wrong where it does not. */
export function useHealth() {
  return useQuery({
    queryKey: ["health"],
    queryFn: ({ signal }) => take(api.GET("/health", { signal })),
    refetchInterval: PACE_MS,
  });
}
