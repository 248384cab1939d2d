/** Whether what is shown is what is: since when the server has not been heard. */
import { useSyncExternalStore } from "react";

/** `since` is the moment (Unix milliseconds) of the last word of the server before it fell silent; null while live.
 * `refused` says why there is no live link although the server answers; null where there is one, or it is not known. */
export interface Liveness {
  live: boolean;
  since: number | null;
  refused: string | null;
}

/** The server says something every two seconds at least, on the live link or where it is asked. */
const SILENT_MS = 4000;

const listeners = new Set<() => void>();
let lastHeard = Date.now();
let now: Liveness = { live: true, since: null, refused: null };

/** The server has answered. */
export function heard(): void {
  lastHeard = Date.now();
  if (!now.live) tell({ ...now, live: true, since: null });
}

/** The server did not answer, or could not. */
export function lost(): void {
  if (now.live) tell({ ...now, live: false, since: lastHeard });
}

/** There is a live link (null), or there is none, and why. */
export function linked(refused: string | null): void {
  if (refused !== now.refused) tell({ ...now, refused });
}

/** Take a server that falls silent for one that is lost: a machine that is gone hangs up on nobody. */
export function listenForSilence(): void {
  setInterval(() => {
    if (!document.hidden && Date.now() - lastHeard > SILENT_MS) lost();
  }, 500);
}

function tell(next: Liveness): void {
  now = next;
  for (const listener of listeners) listener();
}

/** The liveness, as it changes. */
export function useLiveness(): Liveness {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => now,
  );
}
