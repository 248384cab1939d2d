/** Where somebody reads in lines that keep coming: at their end, or put where they are, also over a reload. */
import { type RefObject, useLayoutEffect, useRef, useState } from "react";

const NEAR_END_PX = 24;
const A_MOMENT_MS = 500;

interface Reading {
  box: RefObject<HTMLDivElement | null>;
  memory: string;
  linePx: number;
  lines: number;
  /** Lines that are no more at the front. */
  dropped: number;
  ended: boolean;
}

/** `following`: the newest line is kept in sight. */
export function useReading({ box, memory, linePx, lines, dropped, ended }: Reading) {
  const name = `anchor.output.${memory}`;
  // Where it was read at before a reload, until so many lines are here again.
  const [kept] = useState(() => sessionStorage.getItem(name));
  const pending = useRef(kept === null ? null : Number(kept));
  const [following, setFollowing] = useState(kept === null);
  const top = useRef(0);
  const gone = useRef(dropped);
  // Asked to follow, and nothing was touched since: what still moves up began before, as scrolling by key takes frames.
  const held = useRef(false);
  // How high it all was in the last moment: who scrolls to the end of a fast output reaches where that was.
  const heights = useRef<{ at: number; px: number }[]>([]);

  /** Be there without anybody having scrolled. */
  const put = (at: HTMLDivElement, px: number) => {
    const before = at.scrollTop;
    at.scrollTop = px;
    top.current = at.scrollTop;
    // The lines there are drawn with this frame; the browser's own event comes with the next, after an empty one.
    if (top.current !== before) at.dispatchEvent(new Event("scroll"));
  };
  const follow = () => {
    pending.current = null;
    held.current = true;
    setFollowing(true);
    sessionStorage.removeItem(name);
    if (box.current !== null) put(box.current, box.current.scrollHeight);
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: new lines are what it waits for
  useLayoutEffect(() => {
    const at = box.current;
    if (at === null) return;
    const now = performance.now();
    heights.current = [
      ...heights.current.filter((one) => now - one.at < A_MOMENT_MS),
      { at: now, px: at.scrollHeight },
    ];
    const missing = (dropped - gone.current) * linePx;
    gone.current = dropped;
    if (pending.current !== null) {
      const wanted = (pending.current - dropped) * linePx;
      if (!ended && at.scrollHeight - at.clientHeight < wanted) return;
      pending.current = null;
      put(at, wanted);
    } else if (following) {
      put(at, at.scrollHeight);
    } else if (missing > 0) {
      put(at, at.scrollTop - missing);
    }
  }, [lines, dropped, ended, following]);

  // What stands above or below the lines comes and goes, and they have more or less room.
  // biome-ignore lint/correctness/useExhaustiveDependencies: `put` is the same each time
  useLayoutEffect(() => {
    const at = box.current;
    if (at === null || !following) return;
    const watched = new ResizeObserver(() => {
      if (pending.current === null) put(at, at.scrollHeight);
    });
    watched.observe(at);
    return () => watched.disconnect();
  }, [following, box]);

  const scrolled = () => {
    const at = box.current;
    if (at === null || pending.current !== null || at.scrollTop === top.current) return;
    const bottom = at.scrollTop + at.clientHeight + NEAR_END_PX;
    const [up, down] = [at.scrollTop < top.current, at.scrollTop > top.current];
    if (up && following && held.current) {
      put(at, at.scrollHeight);
      return;
    }
    top.current = at.scrollTop;
    const next = bottom > at.scrollHeight || (down && bottom > (heights.current[0]?.px ?? 0)) || (following && !up);
    setFollowing(next);
    if (next) sessionStorage.removeItem(name);
    else sessionStorage.setItem(name, String(dropped + Math.round(at.scrollTop / linePx)));
  };
  /** Show the line of this key, in the middle where there is room. */
  const goTo = (key: number) => {
    const at = box.current;
    if (at === null) return;
    pending.current = null;
    setFollowing(false);
    put(at, Math.max(0, (key - dropped) * linePx - at.clientHeight / 2));
  };
  /** Somebody is about to move: whatever moves from here on is meant. */
  const touched = () => {
    held.current = false;
  };
  return { following, follow, scrolled, touched, goTo };
}
