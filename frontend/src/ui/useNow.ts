/** The time on the server, looked at now and then while something goes on. */
import { useEffect, useState } from "react";
import { serverNow } from "../live/pulse";

/** Unix milliseconds, told anew every `ms` while `ticking`. */
export function useNow(ticking = true, ms = 1000): number {
  const [now, setNow] = useState(serverNow);
  useEffect(() => {
    if (!ticking) return;
    setNow(serverNow());
    const timer = setInterval(() => setNow(serverNow()), ms);
    return () => clearInterval(timer);
  }, [ticking, ms]);
  return now;
}
