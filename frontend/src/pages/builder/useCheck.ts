/** What the server has against a workflow: asked a moment after the last change, where nothing plainer is wrong. */
import { useEffect, useState } from "react";
import { api, Problem, problemOf } from "../../api/client";
import type { components } from "../../api/schema";
import type { GraphDraft } from "./draft";
import type { Fault } from "./faults";

const PAUSE_MS = 350;

/** `checked` while the faults are those of this very graph. */
export interface Check {
  checked: boolean;
  faults: readonly Fault[];
}

const UNASKED: Check = { checked: false, faults: [] };

export function useCheck(graph: GraphDraft, wanted: boolean): Check {
  const [found, setFound] = useState<{ graph: GraphDraft; check: Check } | null>(null);
  useEffect(() => {
    if (!wanted) return;
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const faults = await ask(graph, stop.signal);
        if (!stop.signal.aborted) setFound({ graph, check: { checked: true, faults } });
      } catch (error) {
        if (stop.signal.aborted) return;
        if (!(error instanceof Problem)) throw error;
        setFound({ graph, check: { checked: false, faults: [{ step: -1, says: `${error.message} ${error.hint}` }] } });
      }
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [graph, wanted]);
  return wanted && found?.graph === graph ? found.check : UNASKED;
}

async function ask(graph: GraphDraft, signal: AbortSignal): Promise<Fault[]> {
  const body = graph as unknown as components["schemas"]["Graph"];
  const { data, error, response } = await api.POST("/api/dags/check", { body, signal });
  if (data !== undefined) return data.faults.map(faultOf);
  // A field that is not what it has to be is refused before anything is checked, with its place.
  const told = (error as { errors?: { pointer: string; message: string }[] } | undefined)?.errors ?? [];
  if (response.status === 400 && told.length > 0) return told.map(faultOf);
  throw problemOf(error, response.status);
}

function faultOf({ pointer, message }: { pointer: string; message: string }): Fault {
  const step = /^\/(?:steps|tasks)\/(\d+)/.exec(pointer)?.[1];
  return { step: step === undefined ? -1 : Number(step), says: `${pointer} ${message}` };
}
