/** Cases, newest first: the live link tells of the newest, the rest is asked for. */
import { useQueries, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { api, type CaseRow, type NodeView, take, takeWhole } from "../../api/client";
import { everyPage, PACE_MS } from "../../api/queries";
import { latest } from "../../live/rooms";
import { useRoom } from "../../live/socket";

const PAGE = 1000;
/** Cases that are asked for; evidence is kept for some days only, so that there are no more as a rule. */
const CASES_MAX = 5000;
const KEY = ["cases", "all"];

interface CasesPicture {
  cases: CaseRow[];
}

/** What the link tells takes the place of what was known of the same cases; new ones come first. */
function withNews(old: readonly CaseRow[], news: readonly CaseRow[]): CaseRow[] {
  const told = new Map(news.map((row) => [row.id, row]));
  const kept = old.map((row) => told.get(row.id) ?? row);
  const known = new Set(old.map((row) => row.id));
  return [...news.filter((row) => !known.has(row.id)), ...kept];
}

/** Every case that is kept. */
export function useCases() {
  const client = useQueryClient();
  const cases = useQuery({
    queryKey: KEY,
    queryFn: ({ signal }) =>
      everyPage<CaseRow>((cursor) => {
        const query = { limit: PAGE, ...cursor };
        return takeWhole(api.GET("/api/verification/cases", { params: { query }, signal }));
      }, CASES_MAX),
    refetchInterval: PACE_MS * 5,
  });
  const room = useRoom<CasesPicture>("cases", latest);
  const news = room.live ? room.picture?.cases : undefined;
  useEffect(() => {
    if (news !== undefined) {
      client.setQueryData<CaseRow[]>(KEY, (old) => (old === undefined ? old : withNews(old, news)));
    }
  }, [client, news]);
  return cases;
}

/** These nodes, by id: they are few, and the fleet may be large. One that is gone is not among them. */
export function useNodesOf(ids: readonly string[]): ReadonlyMap<string, NodeView> {
  return useQueries({
    queries: ids.map((id) => ({
      queryKey: ["node", id],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        take(api.GET("/api/nodes/{id}", { params: { path: { id } }, signal })),
      refetchInterval: PACE_MS * 5,
    })),
    combine: byId,
  });
}

function byId(found: readonly { data: NodeView | undefined }[]): ReadonlyMap<string, NodeView> {
  return new Map(found.flatMap(({ data }) => (data === undefined ? [] : [[data.nodeId, data]])));
}
