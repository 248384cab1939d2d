/** What was used, as the page Usage asks for it. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { api, take } from "../../api/client";
import type { components } from "../../api/schema";

export type Use = components["schemas"]["UsageRow"];
export type Day = components["schemas"]["UsageDay"];
export type By = components["schemas"]["UsageQuery"]["by"];

export const BYS = ["owner", "node", "app"] as const;
export const RANGES = [1, 7, 30, 90] as const;
const PACE_MS = 30_000;

/** What an address asks for: anything else is as if nothing were said. */
export function askedOf(search: Readonly<Record<string, string | undefined>>): { by: By; days: number } {
  const by = BYS.find((one) => one === search.by) ?? "owner";
  const days = RANGES.find((one) => String(one) === search.days) ?? 7;
  return { by, days };
}

/** The sums by one thing, those that used most first, and day by day. */
export function useUsage(by: By, days: number) {
  return useQuery({
    queryKey: ["usage", by, days],
    queryFn: ({ signal }) => take(api.GET("/api/usage", { params: { query: { by, days } }, signal })),
    refetchInterval: PACE_MS,
    placeholderData: keepPreviousData,
  });
}

/** Seconds of work as people say them: 20 ms, 42 s, 3.5 min, 12.4 h. */
export function worked(seconds: number): string {
  if (seconds > 0 && seconds < 1) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 && seconds > 0 ? 1 : 0)} s`;
  if (seconds < 3600) return `${(seconds / 60).toFixed(1)} min`;
  const hours = seconds / 3600;
  return `${hours < 100 ? hours.toFixed(1) : Math.round(hours).toLocaleString("en")} h`;
}

/** The rows as a file for a table calculation; no text is taken for a formula by what opens it. */
export function csvOf(by: By, rows: readonly Use[]): string {
  const cell = (value: string | number) => {
    const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const head = [by, "owner", "tasks", "failed", "attempts", "cpu_seconds", "wall_seconds"];
  const lines = rows.map((row) => [
    row.name,
    row.owner,
    row.tasks,
    row.failed,
    row.attempts,
    row.cpuSeconds,
    row.wallSeconds,
  ]);
  return [head, ...lines].map((line) => `${line.map(cell).join(",")}\r\n`).join("");
}
