/** What the watch asks the server, beside what it hears. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { api, type CaseRow, take, takeWhole } from "../../api/client";
import { isOver, PACE_MS, useApps, useOpenCases } from "../../api/queries";
import { type AppsPicture, foldApps } from "../../live/apps";
import { serverNow } from "../../live/pulse";
import { latest } from "../../live/rooms";
import { useRoom, useRoomPart } from "../../live/socket";

const ALL_MAX = 200;
const SETTLE_MS = 5000;
const HISTORY_MS = 15_000;
const DAY_MS = 24 * 3_600_000;
const LINGER_MS = 4000;
/** What has run this long has most likely something to show, and stays for a while. */
const SETTLED_MS = 2000;
const NEWEST_MAX = 20;

/** How far back the figures look, in minutes, and what that is called. */
export const RANGES = [
  [30, "30 min"],
  [60, "1 h"],
  [360, "6 h"],
  [1440, "24 h"],
] as const;
export type Range = (typeof RANGES)[number][0];

/** The range an address asks for. */
export function rangeOf(text: string | undefined): Range {
  return RANGES.find(([minutes]) => String(minutes) === text)?.[0] ?? 30;
}

/** How it went. */
export function useHistory(minutes: Range) {
  return useQuery({
    queryKey: ["history", minutes],
    queryFn: async ({ signal }) => {
      const history = await take(api.GET("/api/queue/history", { params: { query: { minutes } }, signal }));
      return { ...history, minutes };
    },
    refetchInterval: HISTORY_MS,
    placeholderData: keepPreviousData,
  });
}

/** All tasks that run, where they are few enough to be listed; `at` is when they were. */
export function useAllRunning() {
  return useQuery({
    queryKey: ["running", "all"],
    queryFn: async ({ signal }) => {
      const query = { state: "running", limit: ALL_MAX };
      const { data, response } = await takeWhole(api.GET("/api/tasks", { params: { query }, signal }));
      const at = Date.parse(response.headers.get("date") ?? "") || serverNow();
      return response.headers.has("link") ? null : { rows: data, at };
    },
    refetchInterval: SETTLE_MS,
  });
}

/** The task that is followed: the one that was chosen, else the newest that runs, for as long as it does and a moment. */
export function useFollowed(chosen: string | undefined) {
  return useQuery({
    queryKey: ["followed", chosen ?? ""],
    queryFn: async ({ client, signal }) => {
      const before = client.getQueryData<{ id: string; finishedAt: string | null }>(["followed", chosen ?? ""]);
      const id = chosen ?? before?.id;
      const known = id === undefined ? undefined : await find(id, signal);
      const lingers = (known?.finishedAt ?? "") > new Date(serverNow() - LINGER_MS).toISOString();
      if (known !== undefined && (chosen !== undefined || !isOver(known.state) || lingers)) return known;
      const query = { state: "running", limit: NEWEST_MAX };
      const newest = await take(api.GET("/api/tasks", { params: { query }, signal }));
      const settled = new Date(serverNow() - SETTLED_MS).toISOString();
      return newest.find((one) => one.startedAt !== null && one.startedAt < settled) ?? newest[0] ?? null;
    },
    refetchInterval: PACE_MS,
  });
}

async function find(id: string, signal: AbortSignal) {
  const { data } = await api.GET("/api/tasks/{id}", { params: { path: { id } }, signal });
  return data;
}

/** Tasks of the last day whose results disagreed: how many (of those listed), and when the newest ended. */
export function useInconclusive(enabled: boolean) {
  return useQuery({
    queryKey: ["inconclusive"],
    enabled,
    queryFn: async ({ signal }) => {
      const query = { state: "inconclusive", limit: 100 };
      const rows = await take(api.GET("/api/tasks", { params: { query }, signal }));
      return rows.filter((row) => Date.parse(row.finishedAt ?? "") > serverNow() - DAY_MS);
    },
    refetchInterval: 2 * PACE_MS,
  });
}

/** Every app, as it changes. */
export function useLiveApps() {
  const room = useRoom<AppsPicture>("apps", foldApps);
  const listed = useApps(!room.live);
  return room.live && room.picture !== null
    ? { data: room.picture.apps, isPending: false, error: null }
    : { data: listed.data, isPending: listed.isPending, error: listed.error };
}

interface CasesPicture {
  cases: readonly CaseRow[];
}
const casesOf = (seen: { live: boolean; picture: CasesPicture | null }) => (seen.live ? seen.picture : null);

/** Cases that nobody has judged, as they come. */
export function useLiveCases() {
  const picture = useRoomPart("cases", latest, casesOf);
  const listed = useOpenCases(picture !== null);
  return picture !== null
    ? { data: picture.cases.filter((row) => row.state === "open"), isPending: false }
    : { data: listed.data, isPending: listed.isPending };
}
