/** One app as it is, and what can be done with it. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { api, take } from "../../api/client";
import { PACE_MS } from "../../api/queries";
import type { components } from "../../api/schema";
import { latest } from "../../live/rooms";
import { useRoom } from "../../live/socket";
import { say, sayWhyNot } from "../../ui/Toast";

export type AppView = components["schemas"]["AppView"];
export type Replica = AppView["replicas"][number];
export type Release = AppView["releases"][number];

/** One app, whole: what changes is told over the live link at once, what its replicas use is asked for at a pace. */
export function useApp(id: string) {
  const client = useQueryClient();
  const room = useRoom<AppView>(`app:${id}`, latest);
  const app = useQuery({
    queryKey: ["app", id],
    queryFn: ({ signal }) => take(api.GET("/api/clusters/{id}", { params: { path: { id } }, signal })),
    refetchInterval: PACE_MS,
  });
  const picture = room.live ? room.picture : null;
  useEffect(() => {
    if (picture !== null) client.setQueryData(["app", id], picture);
  }, [client, id, picture]);
  return app;
}

/** Do something to an app, and say what came of it; `done` is said where it went well. */
export function useChange<Wish>(id: string, change: (wish: Wish) => Promise<AppView>, done: (wish: Wish) => string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: change,
    onError: sayWhyNot,
    onSuccess: (app, wish) => {
      client.setQueryData(["app", id], app);
      say(done(wish));
    },
  });
}

const of = (id: string) => ({ params: { path: { id } } });

export const restart = (id: string) => take(api.POST("/api/clusters/{id}/restart", of(id)));
export const stop = (id: string) => take(api.POST("/api/clusters/{id}/stop", of(id)));
export const start = (id: string) => take(api.POST("/api/clusters/{id}/start", of(id)));
export const remove = (id: string) => take(api.DELETE("/api/clusters/{id}", of(id)));
export const scale = (id: string, wish: Record<string, number>) =>
  take(api.POST("/api/clusters/{id}/scale", { ...of(id), body: wish }));
export const rollBack = (id: string, release: number) =>
  take(api.POST("/api/clusters/{id}/rollback", { ...of(id), body: { release } }));
export const setEnv = (id: string, changes: Record<string, string | null>) =>
  take(api.PUT("/api/clusters/{id}/env", { ...of(id), body: changes }));
