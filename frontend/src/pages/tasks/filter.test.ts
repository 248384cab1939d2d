import { expect, test } from "vitest";
import { askedOf, readFilter, textOf } from "./filter";

test("what is typed and what is asked for are the same both ways", () => {
  const { filter, wrong } = readFilter('  status:failed   label:site:lisbon "a \\"big\\" render" ');
  expect(filter).toEqual({ state: "failed", label: "site:lisbon", name: 'a "big" render' });
  expect(wrong).toBeNull();
  expect(readFilter(textOf(filter))).toEqual({ filter, wrong: null });
});

test("words without a field are a part of the name", () => {
  expect(readFilter("render part state:done").filter).toEqual({ name: "render part", state: "succeeded" });
  expect(readFilter('"http://x"').filter).toEqual({ name: "http://x" });
});

test("what is not understood is said, not guessed", () => {
  expect(readFilter("state:broken").wrong?.message).toContain("no state “broken”");
  expect(readFilter("colour:red").wrong?.message).toContain("“colour:red” is not understood");
  expect(readFilter("state: label:a").wrong?.message).toContain("“state:” says nothing");
  expect(readFilter("label:a label:b").wrong?.message).toContain("twice");
  expect(readFilter("name:a b").wrong?.message).toContain("twice");
  expect(readFilter("age:long").wrong?.message).toContain("no age");
  expect(readFilter("since:tomorrow").wrong?.message).toContain("no time");
  expect(readFilter("run:7").wrong?.message).toContain("no run");
});

test("an age is counted from now, and a day is a whole one", () => {
  const now = Date.parse("2026-01-31T12:00:00Z");
  expect(askedOf({ age: "<1h", label: "a" }, now)).toEqual({ label: "a", since: String(now - 3_600_000) });
  expect(askedOf({ age: ">2d" }, now)).toEqual({ until: String(now - 2 * 86_400_000) });
  const { since, until } = askedOf({ since: "2026-01-31", until: "2026-01-31" }, now);
  expect(Date.parse(until!) - Date.parse(since!)).toBe(86_400_000 - 1);
});

test("a word that every object knows is no field", () => {
  expect(readFilter("constructor:x").wrong?.message).toContain("there is no “constructor:”");
  expect(readFilter("state:constructor").wrong?.message).toContain("There is no state");
});
