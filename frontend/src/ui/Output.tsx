/** What a task prints, as it comes: it follows the newest line, and stays put while somebody reads further up. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState } from "react";
import type { Output as Lines } from "../live/lines";
import styles from "./Output.module.css";
import { count } from "./words";

const LINE_PX = 19;
const NEAR_END_PX = 24;

export function Output({ output, rawUrl }: { output: Lines; rawUrl: string }) {
  const { lines, dropped, ended } = output;
  const scroll = useRef<HTMLDivElement>(null);
  const [following, setFollowing] = useState(true);
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroll.current,
    estimateSize: () => LINE_PX,
    overscan: 10,
    getItemKey: (index) => lines[index]!.key,
  });
  const toEnd = () => {
    if (scroll.current !== null) scroll.current.scrollTop = scroll.current.scrollHeight;
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new line is what it waits for
  useEffect(() => {
    if (following) toEnd();
  }, [lines.length, following]);
  const scrolled = () => {
    const box = scroll.current;
    if (box !== null) setFollowing(box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END_PX);
  };
  return (
    <div className={styles.output}>
      <div
        ref={scroll}
        className={styles.lines}
        onScroll={scrolled}
        tabIndex={0}
        role="log"
        aria-live="off"
        aria-label="Output"
      >
        <div className={styles.all} style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map((item) => {
            const line = lines[item.index]!;
            return (
              <div
                key={item.key}
                className={`${styles.line} ${line.stream === "stderr" ? styles.stderr : ""}`}
                style={{ transform: `translateY(${item.start}px)` }}
              >
                <span className={styles.at}>{new Date(line.at).toLocaleTimeString("en-GB")}</span>
                <bdi>{line.text}</bdi>
              </div>
            );
          })}
        </div>
      </div>
      <p className={styles.foot}>
        {lines.length === 0
          ? ended
            ? "It printed nothing."
            : "Nothing printed yet; lines come as it prints them."
          : ended
            ? `${count(dropped + lines.length)} lines, and no more will come.`
            : following
              ? "Following. Scroll up to pause."
              : "Paused where you are."}{" "}
        {!following && !ended && (
          <button
            type="button"
            className="link"
            onClick={() => {
              setFollowing(true);
              toEnd();
            }}
          >
            Follow again
          </button>
        )}{" "}
        {dropped > 0 && `The first ${count(dropped)} lines are only in the `}
        <a href={rawUrl}>raw log</a>
      </p>
    </div>
  );
}
