/** What ended shortly before the watch was opened, so that its stream does not begin with an empty picture. */
import { useQuery } from "@tanstack/react-query";
import { api, take } from "../../api/client";

const RECENT_MAX = 200;

export function useRecent() {
  return useQuery({
    queryKey: ["recent"],
    queryFn: ({ signal }) => take(api.GET("/api/tasks", { params: { query: { limit: RECENT_MAX } }, signal })),
    // From then on marks tell of it; whoever opens the watch again sees it as it is then.
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
}
