/** The fleet as a chart: every node a sounding, in groups; by pointer and by keyboard one is told of or many selected. */
import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { current } from "../theme/theme";
import { StateMark } from "../ui/StateMark";
import { count } from "../ui/words";
import styles from "./Fleet.module.css";
import { type By, type Fleet, MARKS } from "./fleet";
import { type Group, groupsOf, nameOf, summary, wordsOf } from "./groups";
import { useSlow } from "./slow";
import { Chart, grainOf, Layout, palette } from "./soundings";
import { watchFleet } from "./source";
import { useBrush } from "./useBrush";

/** Groups that are drawn, the largest ones. */
const GROUPS_MAX = 40;
const SUMMARY_MS = 10_000;
const PADDING_PX = 24;

interface FleetMapProps {
  fleet: Fleet;
  /** As `useFleet` has it: nodes are grouped anew when it changes. */
  shape: number;
  by: By;
  selected: ReadonlySet<string>;
  select: (ids: ReadonlySet<string>) => void;
  open: (id: string) => void;
}

export function FleetMap({ fleet, shape, by, selected, select, open }: FleetMapProps) {
  const map = useRef<HTMLDivElement>(null);
  const [room, setRoom] = useState(800);
  const [isLettered, setLettered] = useState(false);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the fleet changes in place, its shape says when
  const groups = useMemo(() => groupsOf(fleet, by).slice(0, GROUPS_MAX), [fleet, shape, by]);
  const drawn = useMemo(() => {
    const grain = grainOf(
      groups.map((group) => group.places.length),
      room,
    );
    return groups.map((group) => ({ group, layout: new Layout(group.places.length, grain, room) }));
  }, [groups, room]);
  const theme = useSyncExternalStore(watchTheme, current);
  useEffect(() => {
    if (map.current === null) return;
    const seen = new ResizeObserver(([entry]) => setRoom(Math.floor(entry!.contentRect.width) - PADDING_PX));
    seen.observe(map.current);
    return () => seen.disconnect();
  }, []);
  // What is drawn before the letters are here is drawn again with them.
  useEffect(() => void document.fonts.ready.then(() => setLettered(true)), []);
  const chosen = useRef(selected);
  const draw = useRef(() => {});
  chosen.current = selected;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another theme has other colours, and letters come late
  useEffect(() => {
    const colours = palette();
    const canvases = [...(map.current?.querySelectorAll("canvas") ?? [])];
    const charts = drawn.map(({ group, layout }, at) => new Chart(canvases[at]!, layout, group.places, colours));
    draw.current = () => {
      for (const chart of charts) chart.draw(fleet, chosen.current);
    };
    draw.current();
    return watchFleet(draw.current);
  }, [drawn, fleet, theme, isLettered]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is selected has a frame
  useEffect(() => draw.current(), [selected]);

  const said = useSlow(() => summary(fleet), SUMMARY_MS, shape);
  const brush = useBrush({ map, fleet, drawn, selected, select, open });
  return (
    <>
      <p className="unseen" aria-live="polite">
        {said}
      </p>
      <p className="unseen" aria-live="polite">
        {brush.byKey && brush.told !== null ? wordsOf(fleet, brush.told.place) : ""}
      </p>
      <div
        ref={map}
        className={styles.map}
        role="application"
        aria-label={`Map of nodes. Arrows go from node to node, with shift they select, Enter opens. ${said}`}
        tabIndex={0}
        {...brush.handlers}
      >
        {drawn.map(({ group, layout }) => (
          <div
            key={group.name}
            className={styles.group}
            style={{ width: Math.max(layout.width, wideOf(nameOf(group, by))) }}
          >
            <h3 title={nameOf(group, by)}>
              <bdi>{nameOf(group, by)}</bdi>{" "}
              <span className={`mono mute ${styles.many}`}>{count(group.places.length)}</span>
            </h3>
            <canvas width={layout.width} height={layout.height} role="img" aria-label={nameOf(group, by)} />
          </div>
        ))}
        {brush.told !== null && (
          <div
            className={styles.told}
            style={{ left: brush.told.x, top: brush.told.y, transform: brush.told.isRight ? "translateX(-100%)" : "" }}
          >
            <bdi>{wordsOf(fleet, brush.told.place)}</bdi>
          </div>
        )}
        {brush.ring !== null && <div className={styles.ring} style={brush.ring} />}
        {brush.stretch !== null && <div className={styles.stretch} style={brush.stretch} />}
      </div>
      <Key fleet={fleet} shape={shape} />
    </>
  );
}

/** Room for the name of a small group and for how many it has, in pixels. */
function wideOf(name: string): number {
  return Math.min(180, 8 * name.length + 40);
}

/** What the shapes mean: those that there are. */
function Key({ fleet, shape }: { fleet: Fleet; shape: number }) {
  const present = useSlow(
    () => {
      const tally = fleet.tally();
      return MARKS.filter((mark) => mark === "idle" || mark === "working" || tally[mark] > 0).join(" ");
    },
    1000,
    shape,
  );
  return (
    <div className={styles.key}>
      {present.split(" ").map((mark) => (
        <StateMark
          key={mark}
          state={mark}
          word={mark === "working" ? "working (darker is busier)" : mark === "flagged" ? "flagged by consensus" : mark}
        />
      ))}
    </div>
  );
}

/** The groups as bars: what a narrow screen shows in place of the map. */
export function FleetBars({ fleet, shape, by }: { fleet: Fleet; shape: number; by: By }) {
  // biome-ignore lint/correctness/useExhaustiveDependencies: the fleet changes in place, its shape says when
  const groups = useMemo(() => groupsOf(fleet, by).slice(0, GROUPS_MAX), [fleet, shape, by]);
  useSlow(() => fleet.version, 1000, shape);
  return (
    <ul className={styles.bars}>
      {groups.map((group) => (
        <Bar key={group.name} fleet={fleet} group={group} name={nameOf(group, by)} />
      ))}
    </ul>
  );
}

function Bar({ fleet, group, name }: { fleet: Fleet; group: Group; name: string }) {
  const tally = fleet.tally(group.places);
  const words = summary(fleet, group.places);
  return (
    <li>
      <h3>
        <bdi>{name}</bdi>
      </h3>
      <div className={styles.bar} aria-hidden="true">
        {MARKS.filter((mark) => tally[mark] > 0).map((mark) => (
          <span key={mark} className={styles[mark]} style={{ flexGrow: tally[mark] }} />
        ))}
      </div>
      <p className="mute">{words}</p>
    </li>
  );
}

function watchTheme(listener: () => void): () => void {
  window.addEventListener("anchor:theme", listener);
  return () => window.removeEventListener("anchor:theme", listener);
}
