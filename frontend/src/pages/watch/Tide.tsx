/** The six figures: as they are now, and how they went over the last minutes or hours. */
import { useRef } from "react";
import { useLiveness } from "../../api/liveness";
import { Figure, Figures } from "../../ui/Figure";
import { Failed } from "../../ui/Said";
import { count, lasting, many } from "../../ui/words";
import { useFigures } from "./figures";
import { RANGES, type Range, useHistory } from "./queries";

type Point = NonNullable<ReturnType<typeof useHistory>["data"]>["points"][number];

export function Tide({ minutes }: { minutes: Range }) {
  const { figures, counts, error } = useFigures();
  const history = useHistory(minutes).data;
  const dim = !useLiveness().live;
  const ended = useEnded(history, counts);
  if (figures === null && error !== null && !dim) {
    return <Failed what="figures" error={error} again={() => location.reload()} />;
  }
  const points = history?.points ?? [];
  // What is counted by the step is whole only when the step is over.
  const whole = points.slice(0, -1);
  const course = (of: (point: Point) => number | null, over = points) =>
    over.flatMap((point) => {
      const value = of(point);
      return value === null ? [] : [value];
    });
  const span = RANGES.find(([of]) => of === minutes)![1];
  const show = (value: number | undefined) => (value === undefined ? "…" : count(value));
  const wait = figures?.medianWaitMs ?? points.at(-1)?.medianWaitMs;
  const ofWhole = { room: Math.max(2, whole.length) };
  const shared = { dim, room: Math.max(2, points.length) };
  return (
    <Figures>
      <Figure
        label="Running"
        value={show(figures?.running)}
        tone="deep"
        samples={course((point) => point.running)}
        {...shared}
      />
      <Figure label="Waiting" value={show(figures?.waiting)} samples={course((point) => point.waiting)} {...shared} />
      <Figure
        label={`Done, ${span}`}
        value={show(ended?.done)}
        tone="go"
        samples={course((point) => point.done, whole)}
        {...shared}
        {...ofWhole}
      />
      <Figure
        label={`Failed, ${span}`}
        value={show(ended?.failed)}
        {...(ended?.failed ? { tone: "bad" } : {})}
        samples={course((point) => point.failed, whole)}
        {...shared}
        {...ofWhole}
      />
      <Figure
        label="Median wait"
        value={figures === null ? "…" : wait === null || wait === undefined ? "–" : lasting(wait)}
        says="How long the tasks that were given out in the last minute waited; – where none was"
        samples={course((point) => point.medianWaitMs)}
        {...shared}
      />
      <Figure
        label="Nodes online"
        value={show(figures?.online)}
        says={figures === null ? "" : `Of ${many(figures.nodes, "node")}`}
        {...(figures?.online ? { tone: "go" } : {})}
        samples={course((point) => point.nodes)}
        {...shared}
      />
    </Figures>
  );
}

/** What ended within the range: as the history counted it, and since then by how the counts rose. */
function useEnded(history: ReturnType<typeof useHistory>["data"], counts: Record<string, number> | null) {
  const base = useRef<{ history: unknown; succeeded: number; failed: number } | null>(null);
  if (history === undefined) return null;
  const succeeded = counts?.succeeded ?? 0;
  const failed = (counts?.failed ?? 0) + (counts?.inconclusive ?? 0);
  if (counts !== null && base.current?.history !== history) base.current = { history, succeeded, failed };
  const since = base.current ?? { succeeded, failed };
  const sum = (of: (point: Point) => number) => history.points.reduce((all, point) => all + of(point), 0);
  return {
    done: sum((point) => point.done) + Math.max(0, succeeded - since.succeeded),
    failed: sum((point) => point.failed) + Math.max(0, failed - since.failed),
  };
}
