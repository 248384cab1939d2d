/** Keys and join tokens, as the page Keys and people asks for them. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, take } from "../../api/client";
import type { components } from "../../api/schema";
import type { Role } from "../../api/session";

export type Key = components["schemas"]["AccessKey"];

const PACE_MS = 5000;

/** Every live key, or the newest join tokens. */
export function useKeyList(kind: "key" | "join") {
  return useQuery({
    queryKey: ["keys", kind],
    queryFn: ({ signal }) => take(api.GET("/api/keys", { params: { query: { kind } }, signal })),
    refetchInterval: PACE_MS,
  });
}

/** Make a key; the answer has its secret, once. */
export function useNewKey() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (wish: { name: string; role: Role; days: number | null }) =>
      take(api.POST("/api/keys", { body: wish })),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["keys"] }),
  });
}

/** Take a key or a join token back. */
export function useRevoke() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => take(api.DELETE("/api/keys/{id}", { params: { path: { id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: ["keys"] }),
  });
}

/** Somebody: all keys of one name. */
interface Person {
  name: string;
  roles: readonly string[];
  keys: number;
  sessions: number;
}

/** The people behind keys, by name. */
export function peopleOf(keys: readonly Key[]): readonly Person[] {
  const names = [...new Set(keys.map((key) => key.name))].sort();
  return names.map((name) => {
    const own = keys.filter((key) => key.name === name);
    return {
      name,
      roles: [...new Set(own.map((key) => key.role))],
      keys: own.length,
      sessions: own.reduce((all, key) => all + key.sessions, 0),
    };
  });
}
