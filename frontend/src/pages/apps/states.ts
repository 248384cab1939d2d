/** What states of apps, replicas and releases look like, in the words of whoever looks after them. */

/** A state of ui/states.ts to look like, and the word that stands beside it. */
export interface Mark {
  state: string;
  word: string;
}

const mark = (state: string, word: string): Mark => ({ state, word });

const APPS: Record<string, Mark> = {
  running: mark("succeeded", "running"),
  failed: mark("failed", "down"),
};
const REPLICAS: Record<string, Mark> = {
  unplaced: mark("queued", "no node yet"),
  placed: mark("leased", "on its way to its node"),
  building: mark("leased", "being built"),
  starting: mark("leased", "starting"),
  healthy: mark("succeeded", "healthy"),
  unhealthy: mark("failing", "down"),
  draining: mark("draining", "finishing its requests"),
  failed: mark("failed", "given up"),
};
const RELEASES: Record<string, Mark> = {
  pending: mark("leased", "being deployed"),
  live: mark("succeeded", "live"),
  superseded: mark("stopped", "earlier"),
  failed: mark("failed", "failed"),
};

/** An app none of whose replicas is healthy is down, whatever is being done about it. */
export function appMark(app: { state: string; ready: number; wanted: number }): Mark {
  if (app.state === "degraded" && app.ready === 0) return mark("failed", "down");
  return APPS[app.state] ?? mark(app.state, app.state);
}

/** The first sentence or two of why something ended; its last lines are in its log. */
export function shortly(reason: { message: string }): string {
  return reason.message.split("\n")[0]!.replace(/ Its last lines:$/, "");
}

/** How a replica looks. */
export function replicaMark(state: string): Mark {
  return REPLICAS[state] ?? mark(state, state);
}

/** How a release looks. */
export function releaseMark(state: string): Mark {
  return RELEASES[state] ?? mark(state, state);
}
