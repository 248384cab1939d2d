/** Doing something to many tasks: some hundred a request, with progress, and what came of each. */
import { newKey } from "../../api/blobs";
import { api, Problem, take } from "../../api/client";
import type { Asked } from "./filter";

export type Action = "cancel" | "retry";

/** The tasks that are meant: all that fit up to the newest one that was seen, or those of a choice. */
export type Target = { filter: Asked; before: string } | { ids: readonly string[] };

interface Failure {
  id: string;
  code: string;
  message: string;
}

export interface Outcome {
  matched: number;
  done: number;
  unchanged: number;
  failed: readonly Failure[];
  /** Whether it came to its end; else it was stopped, or the server did not go on. */
  whole: boolean;
  problem: Problem | null;
}

const IDS_AT_A_TIME = 500;
const TRIES = 4;
const PAUSE_MS = 1000;

interface Piece {
  action: Action;
  filter?: Asked;
  before?: string;
  ids?: string[];
  cursor?: string;
}

interface Answer {
  matched: number;
  done: number;
  unchanged: number;
  failed: Failure[];
  cursor: string | null;
}

export type Send = (piece: Piece, key: string) => Promise<Answer>;

/** Work through all of them. Never throws for what the server says: the outcome tells how far it got. */
export async function treatAll(
  action: Action,
  target: Target,
  progress: (soFar: Outcome) => void,
  signal: AbortSignal,
  send: Send = post,
  pause: () => Promise<void> = () => new Promise((over) => setTimeout(over, PAUSE_MS)),
): Promise<Outcome> {
  let outcome: Outcome = { matched: 0, done: 0, unchanged: 0, failed: [], whole: true, problem: null };
  let next: Piece | null = firstOf(action, target, 0);
  let at = 0;
  while (next !== null) {
    if (signal.aborted) return { ...outcome, whole: false };
    let answer: Answer;
    try {
      answer = await patiently(next, send, pause);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return { ...outcome, whole: false, problem: error };
    }
    outcome = {
      ...outcome,
      matched: outcome.matched + answer.matched,
      done: outcome.done + answer.done,
      unchanged: outcome.unchanged + answer.unchanged,
      failed: [...outcome.failed, ...answer.failed],
    };
    progress(outcome);
    at += IDS_AT_A_TIME;
    next =
      "ids" in target ? firstOf(action, target, at) : (answer.cursor && { ...next, cursor: answer.cursor }) || null;
  }
  return outcome;
}

function firstOf(action: Action, target: Target, at: number): Piece | null {
  if (!("ids" in target)) return { action, filter: target.filter, before: target.before };
  const ids = target.ids.slice(at, at + IDS_AT_A_TIME);
  return ids.length === 0 ? null : { action, ids };
}

/** The same request with the same key, as long as nobody knows whether it was carried out. */
async function patiently(piece: Piece, send: Send, pause: () => Promise<void>): Promise<Answer> {
  const key = newKey();
  for (let tried = 1; ; tried++) {
    try {
      return await send(piece, key);
    } catch (error) {
      const may = error instanceof Problem && (error.status === 0 || error.status === 409 || error.status >= 500);
      if (!may || tried === TRIES) throw error;
      await pause();
    }
  }
}

function post(piece: Piece, key: string): Promise<Answer> {
  const body = { before: null, cursor: null, ids: null, ...piece, filter: piece.filter ? wholeOf(piece.filter) : null };
  return take(api.POST("/api/tasks/bulk", { body, params: { header: { "Idempotency-Key": key } } }));
}

function wholeOf(asked: Asked) {
  const nothing = { state: null, label: null, name: null, runtime: null, owner: null };
  return { ...nothing, node: null, run: null, since: null, until: null, ...asked };
}
