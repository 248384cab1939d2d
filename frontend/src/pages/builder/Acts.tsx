/** What can be done with the draft as a whole: begin with another, open a file, run it. */
import { useMutation } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useRef } from "react";
import { api, take } from "../../api/client";
import type { components } from "../../api/schema";
import { AsCurl } from "../../ui/AsCurl";
import { Menu } from "../../ui/Menu";
import { sayWhyNot } from "../../ui/Toast";
import { EMPTY, type GraphDraft } from "./draft";
import { EXAMPLES } from "./examples";

interface ActsProps {
  graph: GraphDraft;
  load: (graph: GraphDraft) => void;
  /** Begins with what a file says. */
  open: (file: File | undefined) => void;
  narrow: boolean;
  /** Why it cannot be scheduled; null where it can. */
  why: string | null;
}

export function Acts({ graph, load, open, narrow, why }: ActsProps) {
  const navigate = useNavigate();
  const file = useRef<HTMLInputElement>(null);
  const schedule = useMutation({
    mutationFn: () => {
      const body = graph as unknown as components["schemas"]["Graph"];
      return take(api.POST("/api/dags", { body }));
    },
    onError: sayWhyNot,
    onSuccess: (made) => navigate({ to: "/dags/$id", params: { id: made.id } }),
  });
  return (
    <>
      <AsCurl method="POST" path="/api/dags" body={graph} />
      {!narrow && (
        <>
          <input
            ref={file}
            type="file"
            hidden
            accept=".json,.yaml,.yml,application/json,application/yaml"
            aria-label="A file with a workflow"
            onChange={(event) => {
              open(event.target.files?.[0]);
              event.target.value = "";
            }}
          />
          <Menu
            word="Begin with"
            choices={[
              ...EXAMPLES.map((one) => ({ word: one.word, run: () => load(one.graph) })),
              { word: "A file, YAML or JSON…", run: () => file.current?.click() },
              { word: "Nothing", run: () => load(EMPTY) },
            ]}
          />
          <button
            type="button"
            className="button main"
            disabled={why !== null || schedule.isPending}
            title={why ?? undefined}
            onClick={() => schedule.mutate()}
          >
            Schedule
          </button>
        </>
      )}
    </>
  );
}
