/** What is printed at an address, for whoever shows it. */
import { useEffect, useState, useSyncExternalStore } from "react";
import { Following, type Gatherer } from "./following";
import { NOTHING, type Output } from "./output";

/** `gather` makes what the lines of this address are gathered by; it is a function that stays the same. */
export function useFollowing<Piece>(url: string, gather: () => Gatherer<Piece>): Output {
  const [following, setFollowing] = useState(() => new Following(url, gather()));
  useEffect(() => {
    const next = new Following(url, gather());
    setFollowing(next);
    return next.start();
  }, [url, gather]);
  // Another address begins with nothing, not with the lines of the one before.
  return useSyncExternalStore(following.subscribe, () => (following.url === url ? following.read() : NOTHING));
}
