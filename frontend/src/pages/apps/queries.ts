/** Apps as they are: the live link tells of changes at once, and what they use is asked for at a pace. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { type AppRow, api, takeWhole } from "../../api/client";
import { nextCursor, PACE_MS } from "../../api/queries";
import { useRoom } from "../../live/socket";

const PAGE = 1000;
const KEY = ["apps", "all"];

interface AppsPicture {
  apps: AppRow[];
  gone: string[];
}

/** Apps that changed take the place of what they were; new ones come first. */
export function foldApps(picture: AppsPicture, { apps: changed, gone }: AppsPicture): AppsPicture {
  const away = new Set(gone);
  const all = new Map(picture.apps.map((app) => [app.id, app]));
  for (const app of changed) all.set(app.id, app);
  return { apps: [...all.values()].filter((app) => !away.has(app.id)), gone: [] };
}

async function everyApp(signal: AbortSignal): Promise<AppRow[]> {
  const found: AppRow[] = [];
  for (let cursor: string | undefined, first = true; first || cursor !== undefined; first = false) {
    const query = { limit: PAGE, ...(cursor === undefined ? {} : { cursor }) };
    const { data, response } = await takeWhole(api.GET("/api/clusters", { params: { query }, signal }));
    found.push(...data);
    cursor = nextCursor(response);
  }
  return found;
}

/** Every app, newest first, whichever way it was heard of last. */
export function useLiveApps() {
  const client = useQueryClient();
  const apps = useQuery({ queryKey: KEY, queryFn: ({ signal }) => everyApp(signal), refetchInterval: PACE_MS });
  const room = useRoom<AppsPicture>("apps", foldApps);
  const picture = room.live ? room.picture : null;
  useEffect(() => {
    if (picture === null) return;
    const told = [...picture.apps].sort((one, other) => (one.id < other.id ? 1 : -1));
    client.setQueryData<AppRow[]>(KEY, told);
  }, [client, picture]);
  return apps;
}
