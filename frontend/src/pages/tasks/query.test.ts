import { expect, test } from "vitest";
import { isTaskId, queryOf, readQuery, readSearch } from "./query";

test("what is typed and what is asked for are the same both ways", () => {
  const { filter, wrong } = readQuery("  state:failed   label:site:lisbon ");
  expect(filter).toEqual({ state: "failed", label: "site:lisbon" });
  expect(wrong).toBeNull();
  expect(readQuery(queryOf(filter)).filter).toEqual(filter);
});

test("what is not understood is said, not guessed", () => {
  expect(readQuery("state:broken").wrong).toContain("no state “broken”");
  expect(readQuery("runtime:wasm").wrong).toContain("“runtime:wasm” is not understood");
  expect(readQuery("prime").wrong).toContain("“prime”");
});

test("an id is an id, and nothing that looks a little like one", () => {
  expect(isTaskId("task_01k9abcdefghj")).toBe(true);
  expect(isTaskId("task_")).toBe(false);
  expect(isTaskId("task_01k9abcdefghj/../x")).toBe(false);
});

test("an address keeps only what this page knows", () => {
  expect(readSearch({ q: "state:failed", other: 1 })).toEqual({ q: "state:failed" });
  expect(readSearch({ q: 7 })).toEqual({});
});
