/** What a task prints, as it comes: it follows the newest line, and stays put while somebody reads further up. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { useLayoutEffect, useRef, useState } from "react";
import { useKeys } from "../keyboard/keys";
import type { Line, Output as Lines } from "../live/output";
import { type Place, placeIn } from "../live/places";
import { copy } from "./AsCurl";
import { Find } from "./Find";
import { Finder, pieces } from "./find";
import styles from "./Output.module.css";
import { useReading } from "./reading";
import { count, many as inWords } from "./words";

const LINE_PX = 19;

interface OutputProps {
  output: Lines;
  rawUrl: string;
  /** Under which the place somebody reads at is remembered for as long as the tab is open. */
  memory: string;
  /** What was printed beyond the limit of the task was not kept. */
  cut?: boolean;
  /** Shows a place of the source that a line names. */
  show?: (place: Place) => void;
}

export function Output({ output, rawUrl, memory, cut = false, show }: OutputProps) {
  const { lines, dropped, ended } = output;
  const scroll = useRef<HTMLDivElement>(null);
  const reading = useReading({ box: scroll, memory, linePx: LINE_PX, lines: lines.length, dropped, ended });
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroll.current,
    estimateSize: () => LINE_PX,
    overscan: 10,
    useFlushSync: false,
    getItemKey: (index) => lines[index]!.key,
  });
  const [wanted, setWanted] = useState<string | null>(null);
  const [chosen, setChosen] = useState(-1);
  const finder = useRef(new Finder());
  const found = finder.current.find(lines, wanted ?? "");
  const goTo = (place: number) => {
    const key = found[place];
    if (key === undefined) return;
    setChosen(key);
    reading.goTo(key);
  };
  const searched = (text: string | null) => {
    setWanted(text);
    setChosen(-1);
    if (text === null) scroll.current?.focus();
  };
  // What is found first is shown at once; what is found later moves nobody.
  // biome-ignore lint/correctness/useExhaustiveDependencies: only another question moves
  useLayoutEffect(() => goTo(0), [wanted]);
  useKeys([
    { keys: "f", says: "find in the output", run: () => setWanted((text) => text ?? "") },
    { keys: "e", says: "end of the output: follow it", run: reading.follow },
  ]);
  const pressed = (event: React.KeyboardEvent) => {
    reading.touched();
    if (event.key !== "End") return;
    // The browser's own way there ends where the end was when it began.
    event.preventDefault();
    reading.follow();
  };
  // Nothing is one quiet line, not an empty box; what has the focus stays, as lines may come.
  const isEmpty = lines.length === 0 && dropped === 0;
  const attempts = (lines.at(-1)?.attempt ?? 1) > 1;
  return (
    <div className={styles.output} data-empty={isEmpty}>
      {wanted !== null && (
        <Find wanted={wanted} search={searched} found={found.length} place={found.indexOf(chosen)} goTo={goTo} />
      )}
      <div
        ref={scroll}
        className={styles.lines}
        onScroll={reading.scrolled}
        onKeyDown={pressed}
        onWheel={reading.touched}
        onPointerDown={reading.touched}
        tabIndex={0}
        role="log"
        aria-live="off"
        aria-label="Output"
        data-following={reading.following}
      >
        <div className={styles.all} style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map((item) => {
            const line = lines[item.index]!;
            return (
              <div
                key={item.key}
                className={`${styles.line} ${line.stream === "stderr" ? styles.stderr : ""}`}
                style={{ transform: `translateY(${item.start}px)` }}
                data-line={line.key + 1}
              >
                <span className={styles.at}>
                  {new Date(line.at).toLocaleTimeString("en-GB")}
                  {attempts && ` #${line.attempt}`}
                </span>
                <Text line={line} wanted={wanted ?? ""} chosen={line.key === chosen} show={show} />
              </div>
            );
          })}
        </div>
      </div>
      <div className={styles.foot}>
        <p>
          <State output={output} cut={cut} following={reading.following} />{" "}
          {!reading.following && !ended && (
            <button type="button" className="link" onClick={reading.follow}>
              Follow again
            </button>
          )}
        </p>
        {!isEmpty && (
          <p className={styles.tools}>
            {dropped > 0 && (
              <span>
                {dropped === 1 ? "The first line is" : `The first ${count(dropped)} lines are`} only in the raw log.
              </span>
            )}
            <button type="button" className="link" onClick={() => setWanted((text) => text ?? "")}>
              find
            </button>
            <button
              type="button"
              className="link"
              onClick={() => void copy(lines.map((line) => `${line.text}\n`).join(""))}
            >
              copy
            </button>
            <a href={rawUrl}>raw log</a>
          </p>
        )}
      </div>
    </div>
  );
}

function State({ output, cut, following }: { output: Lines; cut: boolean; following: boolean }) {
  const { lines, dropped, ended, broken } = output;
  const all = dropped + lines.length;
  const many = `${inWords(all, "line")}.`;
  if (ended && cut) return `${many} It is over, and what it printed beyond its limit was not kept.`;
  if (ended) return all === 0 ? "It printed nothing." : `${many} It is over.`;
  if (broken) return "The server does not send it at the moment; it is asked again, and nothing gets lost.";
  if (!following) return "Paused where you are.";
  return all === 0 ? "Nothing printed yet; lines come as it prints them." : `${many} Following; scroll up to pause.`;
}

interface TextProps {
  line: Line;
  wanted: string;
  chosen: boolean;
  show: ((place: Place) => void) | undefined;
}

function Text({ line, wanted, chosen, show }: TextProps) {
  const { text } = line;
  const place = show === undefined || wanted !== "" ? null : placeIn(text);
  if (place !== null) {
    return (
      <bdi>
        {text.slice(0, place.from)}
        <button type="button" className={styles.place} onClick={() => show?.(place)}>
          {text.slice(place.from, place.to)}
        </button>
        {text.slice(place.to)}
      </bdi>
    );
  }
  const parts = pieces(text, wanted);
  if (parts.length === 1) return <bdi>{text}</bdi>;
  return (
    <bdi>
      {parts.map((part, at) =>
        at % 2 === 0 ? (
          part
        ) : (
          // biome-ignore lint/suspicious/noArrayIndexKey: pieces of one line have no other name
          <mark key={at} className={chosen ? styles.chosen : ""}>
            {part}
          </mark>
        ),
      )}
    </bdi>
  );
}
