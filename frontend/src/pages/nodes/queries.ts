/** What the pages about nodes ask the server, and what they tell it to do with one. */
import { useQuery } from "@tanstack/react-query";
import { api, type NodeView, take } from "../../api/client";
import { queries } from "../../api/queries";

/** Every node, as the fleet's own list has it: `useFleet` sees to it that it is read again. */
export function useNodeList() {
  return useQuery({
    queryKey: ["nodes", "facts"],
    queryFn: ({ signal }) => take(api.GET("/api/nodes", { signal })),
    structuralSharing: false,
  });
}

/** What an operator can decide about a node. */
export type Verb = "drain" | "resume" | "block";

/** Decide about a node; the reason is for others to read. */
export function decide(id: string, verb: Verb, reason = ""): Promise<NodeView> {
  const what = { params: { path: { id } }, body: { reason } };
  if (verb === "drain") return take(api.POST("/api/nodes/{id}/drain", what));
  if (verb === "resume") return take(api.POST("/api/nodes/{id}/resume", what));
  return take(api.POST("/api/nodes/{id}/block", what));
}

/** Give a node these labels, beside those its machine says of itself. */
export function giveLabels(id: string, labels: readonly string[]): Promise<NodeView> {
  return take(api.PUT("/api/nodes/{id}/labels", { params: { path: { id } }, body: { labels: [...labels] } }));
}

/** Have every list of nodes read again. */
export function nodesChanged(): void {
  void queries.invalidateQueries({ queryKey: ["nodes"] });
  void queries.invalidateQueries({ queryKey: ["node"] });
}
