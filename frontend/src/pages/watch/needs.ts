/** What needs somebody, out of what the server tells. */
import type { AppRow, CaseRow, Health, NodeView } from "../../api/client";

/** `state` gives its shape and colour. */
export interface Need {
  id: string;
  state: string;
  title: string;
  says: string;
  hint: string;
  since: string | null;
}

/** What needs somebody, the gravest first: the server, cases, apps, nodes. What is not known yet needs nobody. */
export function needs(
  health: Health | undefined,
  cases: readonly CaseRow[] = [],
  apps: readonly AppRow[] = [],
  nodes: readonly NodeView[] = [],
): Need[] {
  return [
    ...(health?.problems ?? []).map((problem) => ({
      id: `health-${problem.code}`,
      state: "failing",
      title: "The server has trouble",
      says: problem.message,
      hint: problem.hint,
      since: problem.since,
    })),
    ...cases.map((row) => ({
      id: row.id,
      state: "flagged",
      title: "Results disagree",
      says: `${row.taskName || row.taskId}: ${row.dissenters.join(", ")} gave another answer.`,
      hint: `Look at it: anchor verify case ${row.id}`,
      since: row.openedAt,
    })),
    ...apps
      .filter((app) => ["failed", "degraded"].includes(app.state))
      .map((app) => ({
        id: app.id,
        state: app.state,
        title: app.state === "failed" ? "App is down" : "App is degraded",
        says: `${app.title || app.name}: ${app.reason?.message ?? `${app.ready} of ${app.wanted} replicas are ready.`}`,
        hint: app.reason?.hint ?? "",
        since: app.changedAt,
      })),
    ...lost(nodes),
    ...nodes
      .filter((node) => node.status === "quarantined")
      .map((node) => ({
        id: node.nodeId,
        state: "flagged",
        title: "Node is quarantined",
        says: `${node.nodeId}: ${node.reason?.message ?? "it gets no work."}`,
        hint: node.reason?.hint ?? "",
        since: null,
      })),
  ];
}

function lost(nodes: readonly NodeView[]): Need[] {
  const gone = nodes.filter((node) => node.status === "offline");
  if (gone.length === 0) return [];
  const heard = gone.flatMap((node) => node.seenAt ?? []).toSorted();
  const names = gone.slice(0, 3).map((node) => node.nodeId);
  const more = gone.length > names.length ? ` and ${gone.length - names.length} more` : "";
  return [
    {
      id: "lost",
      state: "lost",
      title: gone.length === 1 ? "1 node is lost" : `${gone.length} nodes are lost`,
      says: `${names.join(", ")}${more} ${gone.length === 1 ? "is" : "are"} not heard from. Their tasks go to other nodes.`,
      hint: "",
      since: heard.at(-1) ?? null,
    },
  ];
}
