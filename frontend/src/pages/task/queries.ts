/** What is asked about one task: the task as it changes, and why it waits. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { api, Problem, type TaskRow, type TaskView, take } from "../../api/client";
import { isOver, PACE_MS } from "../../api/queries";
import { latest } from "../../live/rooms";
import { useRoom } from "../../live/socket";

/** One task, whole: its row as the live link tells it, the rest asked for whenever that says that something happened. */
export function useLiveTask(id: string) {
  const queries = useQueryClient();
  const room = useRoom<TaskRow>(`task:${id}`, latest);
  const row = room.live ? room.picture : null;
  const task = useQuery({
    queryKey: ["task", id],
    queryFn: ({ signal }) => take(api.GET("/api/tasks/{id}", { params: { path: { id } }, signal })),
    refetchInterval: ({ state }) => {
      const gone = state.error instanceof Problem && state.error.status === 404;
      return gone || room.live || (state.data !== undefined && isOver(state.data.state)) ? false : PACE_MS;
    },
  });
  const happened = row === null ? null : `${row.state} ${row.attempt} ${row.nodeId} ${row.finishedAt}`;
  useEffect(() => {
    if (happened !== null) void queries.invalidateQueries({ queryKey: ["task", id] });
  }, [happened, id, queries]);
  return { ...task, data: task.data === undefined ? undefined : withRow(task.data, row) };
}

/** A task with what its row says; what is over stays as it is. */
function withRow(task: TaskView, row: TaskRow | null): TaskView {
  return row === null || row.id !== task.id || isOver(task.state) ? task : { ...task, ...row };
}

const WAITING = new Set(["queued", "backoff", "waiting", "verifying"]);

/** Whether there is something to say about why it does not run. */
export function waits(state: string): boolean {
  return WAITING.has(state);
}

/** Why a task waits, in the words of every node. */
export function useWhy(id: string) {
  return useQuery({
    queryKey: ["why", id],
    queryFn: ({ signal }) => take(api.GET("/api/tasks/{id}/why", { params: { path: { id } }, signal })),
    refetchInterval: PACE_MS,
  });
}
