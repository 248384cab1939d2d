import { expect, test } from "vitest";
import { isTaskId, readSearch } from "./query";

test("an id is an id, and nothing that looks a little like one", () => {
  expect(isTaskId("task_01k9abcdefghj")).toBe(true);
  expect(isTaskId("task_")).toBe(false);
  expect(isTaskId("task_01k9abcdefghj/../x")).toBe(false);
});

test("an address keeps only what this page knows", () => {
  expect(readSearch({ q: "state:failed", other: 1 })).toEqual({ q: "state:failed" });
  expect(readSearch({ q: 7 })).toEqual({});
});
