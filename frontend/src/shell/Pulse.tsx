/** How the live link does, in a few words for the foot of the page. */
import { useSyncExternalStore } from "react";
import { pulse, watchPulse } from "../live/pulse";
import { count } from "../ui/words";

export function Pulse() {
  const { behindMs, frames, bytes, events } = useSyncExternalStore(watchPulse, pulse);
  return (
    <>
      <span>{Math.max(0.1, Math.ceil(behindMs / 100) / 10).toFixed(1)} s behind</span>
      <span>
        {frames} frames/s, {Math.round(bytes / 1000)} kB/s
      </span>
      {events > 0 && <span>{count(events)} events/s</span>}
    </>
  );
}
