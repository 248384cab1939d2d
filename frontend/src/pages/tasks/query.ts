/** What of an address belongs to the page of tasks; how it is read as a filter is in filter.ts, which loads later. */

const ID = /^task_[0-9a-z]{13}$/;

/** The search part of the page's address. */
interface TasksSearch {
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
