/** What cases and the nodes in them look like. */

/** Which cases are shown. */
export const SHOWN = ["open", "judged", "all"] as const;
export type Shown = (typeof SHOWN)[number];

const CASES: Record<string, { state: string; word: string }> = {
  open: { state: "flagged", word: "to be judged" },
  cleared: { state: "succeeded", word: "cleared" },
  blocked: { state: "blocked", word: "blocked" },
};
const NODES: Record<string, { state: string; word: string }> = {
  online: { state: "succeeded", word: "in service" },
  offline: { state: "lost", word: "not heard from" },
  draining: { state: "draining", word: "draining" },
  quarantined: { state: "flagged", word: "quarantined" },
  blocked: { state: "blocked", word: "blocked" },
  gone: { state: "lost", word: "gone" },
};

/** How a case looks. */
export function caseMark(state: string): { state: string; word: string } {
  return CASES[state] ?? { state, word: state };
}

/** How a node looks where its trust is what matters. */
export function nodeMark(status: string): { state: string; word: string } {
  return NODES[status] ?? { state: status, word: status };
}
