/** Who asks: the browser's session with the server, where it needs one. */
import { useQuery } from "@tanstack/react-query";
import { api, Problem, problemOf } from "./client";

/** `by`: a session of this browser, or the server's own machine, which needs none. */
export interface Session {
  name: string;
  role: string;
  by: "session" | "token" | "local";
  csrf: string | null;
  expiresAt: string | null;
}

let csrf: string | null = null;

api.use({
  onRequest({ request }) {
    if (csrf !== null && request.method !== "GET") request.headers.set("X-Anchor-CSRF", csrf);
    return request;
  },
});

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
  });
}

/** Exchange a token for a session of this browser; a Problem where the token opens nothing. */
export function signIn(token: string): Promise<Session> {
  const body = JSON.stringify({ token });
  return session({ method: "POST", headers: { "Content-Type": "application/json" }, body });
}
