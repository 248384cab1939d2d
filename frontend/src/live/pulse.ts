/** How the live link does: how far behind what is shown is, how many frames and bytes come, and how much happens. */

/** What came in the last whole second. `behindMs` is how old the newest frame was when it came. */
export interface Pulse {
  behindMs: number;
  frames: number;
  bytes: number;
  events: number;
}

const SECOND_MS = 1000;

/** The server's clock less ours, as well as it is known: of all answers the one that was fastest knows best. */
let ahead = 0;
let fastest = Number.POSITIVE_INFINITY;
let behindMs = 0;
let bytes = 0;
let events = 0;
const frames = new Map<string, number>();

/** The server's clock (Unix ms, whole), as far as this page knows it. */
export function serverNow(): number {
  return Date.now() + ahead;
}

/** Something was answered that was asked at `asked`: where it tells the server's time, the clocks are compared. */
export function synced(answer: unknown, asked: number): void {
  const at = (answer as { at?: unknown } | null)?.at;
  const now = Date.now();
  if (typeof at !== "number" || now - asked > fastest) return;
  fastest = now - asked;
  ahead = Math.round(at - (asked + now) / 2);
}

/** Something came, of whatever kind. */
export function received(data: unknown): void {
  if (typeof data === "string") bytes += data.length;
}

/** A frame came. */
export function framed(frame: { room: string; at: number }): void {
  frames.set(frame.room, (frames.get(frame.room) ?? 0) + 1);
  behindMs = Math.max(0, serverNow() - frame.at);
}

/** So many events of tasks happened on the server. */
export function happened(many: number): void {
  events += many;
}

/** What came since the last call, per second; frames are those of the busiest room. */
function taken(ms: number): Pulse {
  const perSecond = (many: number) => Math.round((many * SECOND_MS) / Math.max(1, ms));
  const pulse = {
    behindMs,
    frames: perSecond(Math.max(0, ...frames.values())),
    bytes: perSecond(bytes),
    events: perSecond(events),
  };
  bytes = events = 0;
  frames.clear();
  return pulse;
}

let newest: Pulse = { behindMs: 0, frames: 0, bytes: 0, events: 0 };
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

/** Be told once a second. */
export function watchPulse(listener: () => void): () => void {
  listeners.add(listener);
  if (timer === undefined) {
    taken(SECOND_MS);
    let last = performance.now();
    timer = setInterval(() => {
      const now = performance.now();
      newest = taken(now - last);
      last = now;
      for (const one of listeners) one();
    }, SECOND_MS);
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** The last whole second. */
export function pulse(): Pulse {
  return newest;
}
