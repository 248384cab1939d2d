/** What the page asks: for a token, what became of it, and how far the node that used it is. */
import { useQuery } from "@tanstack/react-query";
import { api, Problem, take } from "../../api/client";
import { queries } from "../../api/queries";

export const TOKEN_SECONDS = 900;
const LOOK_MS = 1000;

/** A one-time token with the commands it is in; the same one until another is asked for. */
export function useToken() {
  return useQuery({
    queryKey: ["join-token"],
    queryFn: () => take(api.POST("/api/nodes/join-tokens", { body: { seconds: TOKEN_SECONDS } })),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: TOKEN_SECONDS * 1000,
    refetchOnWindowFocus: false,
    retry: false,
  });
}

/** Ask for another token the next time one is wanted. */
export function forgetToken(): void {
  queries.removeQueries({ queryKey: ["join-token"] });
}

/** What became of a token; looked at until it was used or has expired. */
export function useTokenState(id: string | undefined) {
  return useQuery({
    queryKey: ["join-token-state", id],
    enabled: id !== undefined,
    queryFn: ({ signal }) =>
      take(api.GET("/api/nodes/join-tokens/{id}", { params: { path: { id: id ?? "" } }, signal })),
    refetchInterval: (query) =>
      !isGone(query.state.error) && (query.state.data?.state ?? "waiting") === "waiting" ? LOOK_MS : false,
  });
}

/** Whether a token is not known any more: somebody took it back. */
export function isGone(error: Error | null): boolean {
  return error instanceof Problem && error.status === 404;
}

/** The node that joined; looked at until it was measured. */
export function useArrival(id: string | null) {
  return useQuery({
    queryKey: ["node", id, "arrival"],
    enabled: id !== null,
    queryFn: ({ signal }) => take(api.GET("/api/nodes/{id}", { params: { path: { id: id ?? "" } }, signal })),
    refetchInterval: (query) =>
      query.state.data?.measuredAt && query.state.data.status === "online" ? false : LOOK_MS,
  });
}
