/** What changes all the time, looked at now and then: for words, and for what React draws. */
import { useEffect, useRef, useState } from "react";

/** The value as it was at the last look; looked at every `ms`, and at once where `key` is another one. */
export function useSlow<Value>(look: () => Value, ms: number, key: unknown = null): Value {
  const [value, setValue] = useState(look);
  const newest = useRef(look);
  newest.current = look;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another key is what it looks again for
  useEffect(() => {
    setValue(() => newest.current());
    const timer = setInterval(() => document.hidden || setValue(() => newest.current()), ms);
    return () => clearInterval(timer);
  }, [ms, key]);
  return value;
}
