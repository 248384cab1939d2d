/** State is shape, colour and word together: what each state of tasks, nodes and apps looks like and is called. */

/** Shapes as a chart has them; see StateMark. */
export type Shape = "ring" | "half" | "disc" | "diamond" | "wreck" | "flag" | "bar" | "cross";
/** Names of colour tokens. */
export type Tone = "mute" | "deep" | "go" | "warn" | "bad" | "verify";

export interface Look {
  shape: Shape;
  tone: Tone;
  word: string;
}

const look = (shape: Shape, tone: Tone, word: string): Look => ({ shape, tone, word });

const LOOKS: Record<string, Look> = {
  // tasks
  queued: look("ring", "mute", "waiting"),
  waiting: look("ring", "mute", "waiting for its parts"),
  leased: look("half", "deep", "starting"),
  running: look("half", "deep", "running"),
  verifying: look("flag", "verify", "being verified"),
  backoff: look("diamond", "warn", "will be tried again"),
  cancelling: look("bar", "warn", "being cancelled"),
  succeeded: look("disc", "go", "done"),
  failed: look("diamond", "bad", "failed"),
  cancelled: look("bar", "mute", "cancelled"),
  inconclusive: look("flag", "verify", "results disagree"),
  // attempts
  errored: look("diamond", "bad", "failed"),
  timed_out: look("diamond", "bad", "out of time"),
  limit_exceeded: look("diamond", "bad", "over its limit"),
  crashed: look("diamond", "bad", "crashed"),
  released: look("bar", "mute", "given back"),
  rejected: look("bar", "mute", "not taken"),
  // steps
  skipped: look("bar", "mute", "skipped"),
  reused: look("disc", "go", "reused"),
  removed: look("wreck", "mute", "removed"),
  // nodes
  idle: look("ring", "mute", "idle"),
  working: look("disc", "deep", "working"),
  failing: look("diamond", "bad", "failing"),
  lost: look("wreck", "mute", "lost"),
  flagged: look("flag", "verify", "flagged"),
  draining: look("half", "warn", "draining"),
  blocked: look("cross", "bad", "blocked"),
  // apps
  deploying: look("half", "deep", "deploying"),
  degraded: look("diamond", "warn", "degraded"),
  stopping: look("bar", "warn", "stopping"),
  stopped: look("bar", "mute", "stopped"),
  removing: look("bar", "warn", "being removed"),
};

/** How a state looks; one that is not known here shows its own word. */
export function lookOf(state: string): Look {
  return LOOKS[state] ?? look("ring", "mute", state);
}
