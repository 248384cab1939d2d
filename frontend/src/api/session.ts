/** Who asks: the browser's session with the server, where it needs one, and what that may do. */
import { useQuery } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { api, Problem, problemOf } from "./client";

/** What somebody is trusted with; each may do what the ones before it may. */
export const ROLES = ["viewer", "submitter", "operator", "admin"] as const;
export type Role = (typeof ROLES)[number];

/** `by`: a session of this browser, or the server's own machine, which needs none. */
export interface Session {
  name: string;
  role: string;
  by: "session" | "token" | "local";
  csrf: string | null;
  expiresAt: string | null;
}

let csrf: string | null = null;
let turnedAway = false;
const listeners = new Set<() => void>();

function turn(away: boolean): void {
  if (turnedAway === away) return;
  turnedAway = away;
  for (const listener of listeners) listener();
}

api.use({
  onRequest({ request }) {
    if (csrf !== null && request.method !== "GET") request.headers.set("X-Anchor-CSRF", csrf);
    return request;
  },
  onResponse({ response }) {
    if (response.status === 401) turn(true);
  },
});

/** Whether the server, which knew this browser, knows it no longer. */
export function useTurnedAway(): boolean {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => turnedAway,
  );
}

async function session(init?: RequestInit): Promise<Session> {
  let response: Response;
  try {
    response = await fetch("/api/session", init);
  } catch {
    throw new Problem(0, "no_answer", "The server does not answer.", "Look whether it runs: anchor server status.", "");
  }
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) throw problemOf(body, response.status);
  csrf = (body as Session).csrf;
  return body as Session;
}

/** Who is signed in; an error with status 401 where nobody is. */
export function useSession() {
  return useQuery({
    queryKey: ["session"],
    queryFn: ({ signal }) => session({ signal }),
    staleTime: Number.POSITIVE_INFINITY,
    refetchOnWindowFocus: false,
  });
}

/** Whether somebody with this role may do what takes another. */
export function may(role: string | undefined, needed: Role): boolean {
  return ROLES.indexOf(role as Role) >= ROLES.indexOf(needed);
}

/** Whether who is signed in may do what takes this role. The server decides; this is for what to offer. */
export function useMay(needed: Role): boolean {
  return may(useSession().data?.role, needed);
}

/** Look whether this browser is still known; what comes of it is `useTurnedAway`. */
export async function lookAgain(): Promise<void> {
  try {
    await session();
  } catch (error) {
    if (error instanceof Problem && error.status === 401) turn(true);
  }
}

/** Exchange a token for a session of this browser; a Problem where the token opens nothing. */
export async function signIn(token: string): Promise<Session> {
  const body = JSON.stringify({ token });
  const opened = await session({ method: "POST", headers: { "Content-Type": "application/json" }, body });
  turn(false);
  return opened;
}

/** The session that was opened in another tab of this browser meanwhile; null where there is none. */
export async function openedElsewhere(): Promise<Session | null> {
  try {
    const opened = await session();
    turn(false);
    return opened;
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}

/** End the session, and show nothing of it any more. */
export async function signOut(): Promise<void> {
  await session({ method: "DELETE", headers: { "X-Anchor-CSRF": csrf ?? "" } });
  window.location.assign("/");
}
