/** What needs somebody, out of what the server tells. */
import type { AppRow, CaseRow, Health, TaskRow } from "../../api/client";
import type { Fleet } from "../../fleet/fleet";
import { at, count, many } from "../../ui/words";

/** Sites of which each has a word of its own. */
const SITES_MAX = 2;
const NAMED_MAX = 5;

/** Where a need is looked into. */
interface Way {
  says: string;
  to: "/cases/$id" | "/clusters/$id" | "/nodes" | "/nodes/$id" | "/tasks" | "/settings";
  params?: { id: string };
  search?: Record<string, string>;
}

/** `state` gives its shape and colour. */
export interface Need {
  id: string;
  state: string;
  title: string;
  says: string;
  hint: string;
  since: string | null;
  way: Way;
}

export interface Known {
  health?: Health | undefined;
  cases?: readonly CaseRow[] | undefined;
  apps?: readonly AppRow[] | undefined;
  fleet?: Fleet | undefined;
  inconclusive?: readonly TaskRow[] | undefined;
  /** Tasks that wait where no node is there to take any. */
  stranded?: number;
}

/** What needs somebody, the gravest first: the server, cases, apps, nodes. What is not known yet needs nobody. */
export function needs({ health, cases = [], apps = [], fleet, inconclusive = [], stranded = 0 }: Known): Need[] {
  return [
    ...(health?.problems ?? []).map((problem) => ({
      id: `health-${problem.code}`,
      state: "failing",
      title: "The server has trouble",
      says: problem.message,
      hint: problem.hint,
      since: problem.since,
      way: { says: "See the server", to: "/settings" } as const,
    })),
    ...noNode(stranded),
    ...cases.map((row) => ({
      id: row.id,
      state: "flagged",
      title: "Results disagree",
      says: `${row.taskName || row.taskId}. ${dissent(row)}`,
      hint: "",
      since: row.openedAt,
      way: { says: "Open the case", to: "/cases/$id", params: { id: row.id } } as const,
    })),
    ...undecided(inconclusive, cases),
    ...apps
      .filter((app) => ["failed", "degraded"].includes(app.state))
      .map((app) => ({
        id: app.id,
        state: app.state,
        title: app.state === "failed" ? "App is down" : "App is degraded",
        says: `${app.title || app.name}: ${app.reason?.message ?? `${app.ready} of ${app.wanted} replicas are ready.`}`,
        hint: app.reason?.hint ?? "",
        since: app.changedAt,
        way: { says: "See its log", to: "/clusters/$id", params: { id: app.id } } as const,
      })),
    ...(fleet === undefined ? [] : [...lost(fleet), ...flagged(fleet, cases)]),
  ];
}

/** All is not well where there is work and nobody to do it. */
function noNode(stranded: number): Need[] {
  if (stranded === 0) return [];
  return [
    {
      id: "no-node",
      state: "lost",
      title: "No node is there",
      says: `${many(stranded, "task waits", "tasks wait")}, and there is no node to take ${stranded === 1 ? "it" : "them"}.`,
      hint: "",
      since: null,
      way: { says: "Look at the nodes", to: "/nodes" },
    },
  ];
}

function dissent(row: CaseRow): string {
  const names = row.dissenters.join(", ");
  return row.dissenters.length === 1 ? `${names} gave a different answer.` : `${names} gave different answers.`;
}

/** Tasks without a result because the copies disagreed, where no open case tells of them. */
function undecided(tasks: readonly TaskRow[], cases: readonly CaseRow[]): Need[] {
  const told = new Set(cases.map((row) => row.taskId));
  const left = tasks.filter((task) => !told.has(task.id));
  if (left.length === 0) return [];
  const [newest] = left;
  const many = left.length === 1 ? "1 task has" : `${count(left.length)} tasks have`;
  return [
    {
      id: "inconclusive",
      state: "inconclusive",
      title: "No agreement",
      says: `${many} no result: the nodes did not agree, last on ${newest!.name || newest!.id}.`,
      hint: "",
      since: newest!.finishedAt,
      way: { says: "Show them", to: "/tasks", search: { q: "state:inconclusive" } },
    },
  ];
}

/** Lost nodes, by the site they are at; of many sites in one. */
function lost(fleet: Fleet): Need[] {
  const gone = fleet.ids.flatMap((_, place) => (fleet.markOf(place) === "lost" ? [place] : []));
  const sites = new Map<string, number[]>();
  for (const place of gone) {
    const site = fleet.facts[place]!.site;
    sites.set(site, [...(sites.get(site) ?? []), place]);
  }
  const largest = [...sites].sort((one, other) => other[1].length - one[1].length);
  if (largest.length <= SITES_MAX) return largest.map(([site, places]) => lostAt(fleet, site, places));
  const named = largest
    .slice(0, NAMED_MAX)
    .map(([site, places]) => `${count(places.length)} at ${site || "no named site"}`);
  const more = largest.length > NAMED_MAX ? " and at other sites" : "";
  return [
    {
      ...lostAt(fleet, "", gone),
      says: `${named.join(", ")}${more}: not heard from. Their tasks are given to other nodes.`,
    },
  ];
}

function lostAt(fleet: Fleet, site: string, places: readonly number[]): Need {
  const heard = places.flatMap((place) => fleet.facts[place]!.seenAt ?? []).sort();
  const names = places.slice(0, 3).map((place) => fleet.ids[place]!);
  const more = places.length > names.length ? ` and ${count(places.length - names.length)} more` : "";
  const since = heard.at(-1) ?? null;
  const one = places.length === 1;
  return {
    id: `lost-${site}`,
    state: "lost",
    title: one ? "1 node lost" : `${count(places.length)} nodes lost`,
    says: `${names.join(", ")}${more}${site && ` at ${site}`}: ${since === null ? "not heard from" : `last heard ${at(since)}`}. ${one ? "Its" : "Their"} tasks are given to other nodes.`,
    hint: "",
    since,
    way: one
      ? { says: "Show it", to: "/nodes/$id", params: { id: names[0]! } }
      : { says: "Show them", to: "/nodes", search: { state: "lost", ...(site && { in: site }) } },
  };
}

/** Nodes under suspicion that no open case names. */
function flagged(fleet: Fleet, cases: readonly CaseRow[]): Need[] {
  const told = new Set(cases.flatMap((row) => row.dissenters));
  const ids = fleet.ids.filter((id, place) => fleet.markOf(place) === "flagged" && !told.has(id));
  if (ids.length === 0) return [];
  const names = ids.slice(0, 3).join(", ");
  const one = ids.length === 1;
  return [
    {
      id: "flagged",
      state: "flagged",
      title: one ? "Node is flagged" : `${count(ids.length)} nodes are flagged`,
      says: `${names}${ids.length > 3 ? ` and ${count(ids.length - 3)} more` : ""} gave answers that others did not agree with.`,
      hint: "",
      since: null,
      way: one
        ? { says: "Look at it", to: "/nodes/$id", params: { id: ids[0]! } }
        : { says: "Look at them", to: "/nodes", search: { state: "flagged" } },
    },
  ];
}
