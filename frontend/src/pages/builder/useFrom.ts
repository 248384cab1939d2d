/** Begins the draft with the graph of a run, where the address names one. */
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect } from "react";
import { api, Problem, take } from "../../api/client";
import { say, sayWhyNot } from "../../ui/Toast";
import type { GraphDraft } from "./draft";

export function useFrom(load: (graph: GraphDraft) => void): void {
  const { from } = useSearch({ from: "/dags/new" });
  const navigate = useNavigate();
  useEffect(() => {
    if (from === undefined) return;
    const stop = new AbortController();
    const fetchGraph = async () => {
      const path = { id: from };
      try {
        const graph = await take(api.GET("/api/dags/{id}/graph", { params: { path }, signal: stop.signal }));
        load(graph as unknown as GraphDraft);
        say("This is the graph of that run. Undo brings the draft back that was here.");
      } catch (error) {
        if (stop.signal.aborted) return;
        if (!(error instanceof Problem)) throw error;
        sayWhyNot(error);
      }
      await navigate({ to: "/dags/new", search: {}, replace: true });
    };
    void fetchGraph();
    return () => stop.abort();
  }, [from, load, navigate]);
}
