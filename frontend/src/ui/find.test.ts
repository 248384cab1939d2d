import { expect, test } from "vitest";
import type { Line } from "../live/output";
import { Finder, pieces } from "./find";

const lines = (texts: readonly string[], first = 0): Line[] =>
  texts.map((text, at) => ({ key: first + at, at: "", attempt: 1, stream: "stdout", text }));

test("what is looked for is found in what is there, what comes, and what grew", () => {
  const finder = new Finder();
  expect(finder.find(lines(["one", "two", "on"]), "ONE")).toEqual([0]);
  expect(finder.find(lines(["one", "two", "one"]), "ONE")).toEqual([0, 2]);
  expect(finder.find(lines(["one", "two", "one", "bone"]), "ONE")).toEqual([0, 2, 3]);
  expect(finder.find(lines(["one", "bone"], 2), "ONE")).toEqual([2, 3]);
  expect(finder.find(lines(["one", "bone"], 2), "b")).toEqual([3]);
  expect(finder.find(lines(["one"]), "")).toEqual([]);
});

test("a line is cut where what was looked for is", () => {
  expect(pieces("a One and one", "one")).toEqual(["a ", "One", " and ", "one", ""]);
  expect(pieces("nothing", "x")).toEqual(["nothing"]);
  expect(pieces("İ one", "one")).toEqual(["İ one"]);
});
