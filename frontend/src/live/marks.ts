/** What happens to tasks, a sample of it, kept outside React for whoever draws it. */

/** task, name, state, node, since (0: nobody knows), at; times are the server's. */
export type Mark = [string, string, string, string, number, number];

type Listener = (marks: readonly Mark[], happened: number) => void;
const listeners = new Set<Listener>();

/** Hear of marks as they come, with how much happened that they are a sample of, until the function is called. */
export function hearMarks(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** These came. */
export function tellMarks(marks: readonly Mark[], happened: number): void {
  for (const listener of listeners) listener(marks, happened);
}
