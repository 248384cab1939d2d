/** Doing the same with many nodes: a few at a time, and what came of each. */
import { Problem } from "../../api/client";
import { count, many } from "../../ui/words";

const AT_A_TIME = 6;

export interface Outcomes {
  done: string[];
  failed: { id: string; problem: Problem }[];
}

/** Do it with every one of these; one that refuses does not stop the others. */
export async function each(ids: readonly string[], act: (id: string) => Promise<unknown>): Promise<Outcomes> {
  const outcomes: Outcomes = { done: [], failed: [] };
  const left = [...ids];
  const worker = async () => {
    for (let id = left.shift(); id !== undefined; id = left.shift()) {
      try {
        await act(id);
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

/** "12 nodes drained, 1 not: REX-A1B2C3 is gone." */
export function outcomeOf({ done, failed }: Outcomes, word: string): string {
  const parts = [`${many(done.length, "node")} ${word}`];
  if (failed.length > 0) parts.push(`${count(failed.length)} not: ${failed[0]!.problem.message}`);
  return parts.join(", ") + (failed.length > 0 ? "" : ".");
}
