/** Apps as they are: the live link tells of changes at once, and what they use is asked for at a pace. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { type AppRow, api, takeWhole } from "../../api/client";
import { everyPage, PACE_MS } from "../../api/queries";
import { type AppsPicture, foldApps } from "../../live/apps";
import { useRoom } from "../../live/socket";

const PAGE = 1000;
const KEY = ["apps", "all"];

/** Every app, newest first, whichever way it was heard of last. */
export function useLiveApps() {
  const client = useQueryClient();
  const apps = useQuery({
    queryKey: KEY,
    queryFn: ({ signal }) =>
      everyPage<AppRow>((cursor) => {
        const query = { limit: PAGE, ...cursor };
        return takeWhole(api.GET("/api/clusters", { params: { query }, signal }));
      }),
    refetchInterval: PACE_MS,
  });
  const room = useRoom<AppsPicture>("apps", foldApps);
  const picture = room.live ? room.picture : null;
  useEffect(() => {
    if (picture === null) return;
    const told = [...picture.apps].sort((one, other) => (one.id < other.id ? 1 : -1));
    client.setQueryData<AppRow[]>(KEY, told);
  }, [client, picture]);
  return apps;
}
