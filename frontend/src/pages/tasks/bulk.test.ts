import { expect, test } from "vitest";
import { Problem } from "../../api/client";
import { type Outcome, type Send, treatAll } from "./bulk";

const answer = (cursor: string | null, done = 500) => ({ matched: done, done, unchanged: 0, failed: [], cursor });
const forever = new AbortController().signal;
const all = { filter: { state: "queued" }, before: "task_1" };

test("all that match are worked through piece by piece, and counted together", async () => {
  const sent: unknown[] = [];
  const seen: number[] = [];
  const send: Send = async (piece) => {
    sent.push(piece.cursor);
    return answer(sent.length < 3 ? `b_${sent.length}` : null, sent.length < 3 ? 500 : 204);
  };
  const outcome = await treatAll("cancel", all, (soFar) => seen.push(soFar.done), forever, send);
  expect(sent).toEqual([undefined, "b_1", "b_2"]);
  expect(seen).toEqual([500, 1000, 1204]);
  expect(outcome).toMatchObject({ matched: 1204, done: 1204, whole: true, problem: null });
});

test("a choice is sent some hundred ids at a time", async () => {
  const sizes: number[] = [];
  const ids = Array.from({ length: 1001 }, (_, at) => `task_${at}`);
  await treatAll(
    "retry",
    { ids },
    () => {},
    forever,
    async (piece) => {
      sizes.push(piece.ids!.length);
      return answer(null);
    },
  );
  expect(sizes).toEqual([500, 500, 1]);
});

test("a request without an answer is repeated with its own key, and at last given up", async () => {
  const keys: string[] = [];
  const away = new Problem(0, "no_answer", "The server does not answer.", "", "");
  const pause = async () => {};
  let outcome: Outcome = await treatAll(
    "retry",
    all,
    () => {},
    forever,
    async (_, key) => {
      keys.push(key);
      if (keys.length === 1) throw away;
      return answer(null);
    },
    pause,
  );
  expect(outcome.whole).toBe(true);
  expect(keys[0]).toBe(keys[1]);
  outcome = await treatAll(
    "retry",
    all,
    () => {},
    forever,
    () => Promise.reject(away),
    pause,
  );
  expect(outcome).toMatchObject({ whole: false, problem: away, done: 0 });
});

test("somebody may stop it between two requests", async () => {
  const stop = new AbortController();
  const outcome = await treatAll(
    "cancel",
    all,
    () => stop.abort(),
    stop.signal,
    async () => answer("b_1"),
  );
  expect(outcome).toMatchObject({ done: 500, whole: false, problem: null });
});
