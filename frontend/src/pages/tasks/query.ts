/** What is typed to find tasks, read: `state:failed label:render`. */
import type { TaskFilter } from "../../api/queries";

/** States one may ask for, in the order of a task's life. */
export const STATES = ["queued", "running", "backoff", "succeeded", "failed", "cancelled", "inconclusive"] as const;

const MORE_STATES = ["waiting", "verifying", "leased", "cancelling"];
const ID = /^task_[0-9a-z]{13}$/;

/** The search part of the page's address. */
export interface TasksSearch {
  q?: string;
}

/** The page's own part of an address; whatever else is there is left out. */
export function readSearch(search: Record<string, unknown>): TasksSearch {
  return typeof search.q === "string" && search.q !== "" ? { q: search.q } : {};
}

/** Whether a text is the id of a task. */
export function isTaskId(text: string): boolean {
  return ID.test(text);
}

/** The filter that was meant, and a sentence on what was not understood (null: all of it was). */
export function readQuery(text: string): { filter: TaskFilter; wrong: string | null } {
  const filter: TaskFilter = {};
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const [field, value] = split(word);
    if (field === "state" && [...STATES, ...MORE_STATES].includes(value)) filter.state = value;
    else if (field === "state")
      return { filter, wrong: `There is no state “${value}”. There are: ${STATES.join(", ")}.` };
    else if (field === "label" && value !== "") filter.label = value;
    else
      return {
        filter,
        wrong: `“${word}” is not understood. Write state:NAME or label:NAME, or paste the id of a task.`,
      };
  }
  return { filter, wrong: null };
}

function split(word: string): [string, string] {
  const colon = word.indexOf(":");
  return colon < 0 ? ["", word] : [word.slice(0, colon), word.slice(colon + 1)];
}

/** The text of a filter. */
export function queryOf(filter: TaskFilter): string {
  return (["state", "label"] as const)
    .flatMap((field) => (filter[field] === undefined ? [] : [`${field}:${filter[field]}`]))
    .join(" ");
}
