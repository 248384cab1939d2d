/** Text that is not JSON is read by the server, as YAML: asked a moment after the last change, and until it answers. */
import { useEffect } from "react";
import { api, Problem, take } from "../../api/client";
import { PACE_MS } from "../../api/queries";
import { type Draft, withYaml } from "./draft";

const PAUSE_MS = 350;

/** `settle` is told what became of the draft, `done` that there may be another graph to look at. */
export function useYaml(
  { text, unread }: Draft,
  settle: (next: (draft: Draft) => Draft) => void,
  done: () => void,
): void {
  useEffect(() => {
    if (!unread) return;
    const stop = new AbortController();
    let timer = 0;
    const ask = async () => {
      try {
        const { graph } = await take(api.POST("/api/dags/read", { body: { text }, signal: stop.signal }));
        settle((draft) => withYaml(draft, text, { value: graph }));
        done();
      } catch (error) {
        if (stop.signal.aborted) return;
        if (!(error instanceof Problem)) throw error;
        if (error.status === 0 || error.status >= 500) timer = window.setTimeout(ask, PACE_MS);
        else settle((draft) => withYaml(draft, text, { wrong: `${error.message} ${error.hint}` }));
      }
    };
    timer = window.setTimeout(ask, PAUSE_MS);
    return () => {
      window.clearTimeout(timer);
      stop.abort();
    };
  }, [text, unread, settle, done]);
}
