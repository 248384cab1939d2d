/** Cancelling many tasks: a few at a time, and what came of each. */
import { api, Problem, take } from "../../api/client";

const AT_A_TIME = 6;

export interface Outcomes {
  done: string[];
  failed: { id: string; problem: Problem }[];
}

/** Cancel every one of these tasks; one that cannot be does not stop the others. */
export async function cancelAll(ids: readonly string[], cancel = cancelOne): Promise<Outcomes> {
  const outcomes: Outcomes = { done: [], failed: [] };
  const left = [...ids];
  const worker = async () => {
    for (let id = left.shift(); id !== undefined; id = left.shift()) {
      try {
        await cancel(id);
        outcomes.done.push(id);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        outcomes.failed.push({ id, problem: error });
      }
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  return outcomes;
}

/** Cancel one task. */
export async function cancelOne(id: string): Promise<void> {
  await take(api.POST("/api/tasks/{id}/cancel", { params: { path: { id } } }));
}
