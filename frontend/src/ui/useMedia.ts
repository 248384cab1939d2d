/** Whether the screen is as a media query asks, as that changes. */
import { useCallback, useSyncExternalStore } from "react";

/** A screen too narrow for pictures and for building. */
export const NARROW = "(max-width: 760px)";

export function useMedia(query: string): boolean {
  const subscribe = useCallback(
    (listener: () => void) => {
      const media = window.matchMedia(query);
      media.addEventListener("change", listener);
      return () => media.removeEventListener("change", listener);
    },
    [query],
  );
  return useSyncExternalStore(subscribe, () => window.matchMedia(query).matches);
}
