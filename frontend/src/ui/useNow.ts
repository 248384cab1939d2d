/** The time, looked at now and then while something goes on. */
import { useEffect, useState } from "react";

/** Unix milliseconds, told anew every `ms` while `ticking`. */
export function useNow(ticking = true, ms = 1000): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (!ticking) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), ms);
    return () => clearInterval(timer);
  }, [ticking, ms]);
  return now;
}
