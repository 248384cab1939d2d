/** The picture of the watch: over the live link, or asked for at a pace where there is none. */
import { useQueue } from "../../api/queries";
import { useFleet } from "../../fleet/source";
import { type Mark, tellMarks } from "../../live/marks";
import { happened } from "../../live/pulse";
import { useRoom } from "../../live/socket";

/** What there is at the moment; null where the server has nothing to tell. */
export interface Figures {
  running: number;
  waiting: number;
  medianWaitMs: number | null;
  online: number;
  nodes: number;
}

interface WatchPicture {
  counts: Record<string, number>;
  figures: Figures;
  happened: number;
  marks: readonly Mark[];
}

/** A frame is the whole picture; its marks are for those who draw them. */
export function foldWatch(_: WatchPicture, data: WatchPicture): WatchPicture {
  happened(data.happened);
  tellMarks(data.marks, data.happened);
  return data;
}

/** The figures now, how many tasks are in each state, and why there are none where there are none. */
export function useFigures(): { figures: Figures | null; counts: Record<string, number> | null; error: Error | null } {
  const room = useRoom<WatchPicture>("watch", foldWatch);
  const queue = useQueue(!room.live);
  const { fleet, known, error } = useFleet();
  if (room.live && room.picture !== null) {
    return { figures: room.picture.figures, counts: room.picture.counts, error: null };
  }
  const tasks = queue.data?.tasks;
  if (tasks === undefined || !known) return { figures: null, counts: null, error: queue.error ?? error };
  const { lost, blocked } = fleet.tally();
  const figures: Figures = {
    running: tasks.active,
    waiting: tasks.waiting + tasks.delayed,
    medianWaitMs: null,
    online: fleet.size - lost - blocked,
    nodes: fleet.size,
  };
  return { figures, counts: { succeeded: tasks.completed, failed: tasks.failed }, error: null };
}
