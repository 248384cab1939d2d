import { expect, test } from "vitest";
import { changesOf, isIn, runsOf } from "./diff";
import type { CaseView, Evidence } from "./evidence";
import { reasonsAbout } from "./reasons";

const bytes = (text: string) => new TextEncoder().encode(text);

test("the bytes that differ are marked, and those that one lacks", () => {
  expect(runsOf(bytes("abcdef"), bytes("abXYef"))).toEqual([{ from: 2, to: 4 }]);
  expect(runsOf(bytes("[1,2]"), bytes("[1,2,3]"))).toEqual([{ from: 4, to: 7 }]);
  expect(runsOf(bytes("same"), bytes("same"))).toEqual([]);
  const runs = runsOf(bytes("a-b-c"), bytes("a+b+c"));
  expect([0, 1, 2, 3, 4].map((at) => isIn(runs, at))).toEqual([false, true, false, true, false]);
});

test("JSON is compared value by value, and what is none is not", () => {
  expect(changesOf(bytes('{"a":[1,2],"b/c":1}'), bytes('{"b/c":1,"a":[1,3]}'))).toEqual([
    { path: "/a/1", agreed: 2, dissent: 3 },
  ]);
  expect(changesOf(bytes("42"), bytes("-1"))).toEqual([{ path: "", agreed: 42, dissent: -1 }]);
  expect(changesOf(bytes("{}"), bytes('{"a":null}'))).toEqual([{ path: "/a", agreed: undefined, dissent: null }]);
  expect(changesOf(bytes("{}"), bytes('{"toString":1,"__proto__":{"a":2}}'))).toEqual([
    { path: "/toString", agreed: undefined, dissent: 1 },
    { path: "/__proto__", agreed: undefined, dissent: { a: 2 } },
  ]);
  expect(changesOf(bytes("1"), bytes("not json"))).toBeNull();
});

function vote(nodeId: string, ms: number, agreed: boolean, answer = agreed ? "a" : "b") {
  const endedAt = new Date(Date.UTC(2026, 0, 1) + ms).toISOString();
  return { copy: 0, copyId: null, nodeId, owner: nodeId, agreed, answer, leasedAt: "2026-01-01T00:00:00Z", endedAt };
}

const voter = (nodeId: string, checked: number, flags: number, version = "1.2.0") => ({
  nodeId,
  status: "online",
  version,
  checked,
  inRow: 0,
  flags: Array.from({ length: flags }, (_, at) => `case_${at}`),
});

function caseOf(part: Partial<CaseView>): CaseView {
  return {
    votes: [vote("ada", 3800, true), vote("bob", 3900, true), vote("eve", 20, false)],
    voters: [voter("ada", 80, 0), voter("bob", 90, 0), voter("eve", 51, 9)],
    dissenters: ["eve"],
    alike: [],
    ...part,
  } as CaseView;
}

test("what speaks for fraud is computed from times and the past", () => {
  const { likely, unlikely } = reasonsAbout(caseOf({}), null, null, "eve");
  expect(likely).toEqual(["it answered 195 times faster than the others", "9 of its last 60 checked answers differ"]);
  expect(unlikely).toEqual([]);
});

test("what speaks against it comes from the program, the agent and the answer", () => {
  const view = caseOf({
    votes: [vote("ada", 3800, true), vote("bob", 3900, true), vote("eve", 4000, false)],
    voters: [voter("ada", 80, 0), voter("bob", 90, 0), voter("eve", 51, 1, "1.0.0")],
  });
  const evidence = {
    payload: { sourceCode: "return Math.random()" },
    verify: {},
    testimonies: [],
  } as unknown as Evidence;
  const changes = [{ path: "/x", agreed: 1, dissent: 1 + 1e-9 }];
  const { likely, unlikely } = reasonsAbout(view, evidence, changes, "eve");
  expect(likely).toEqual([]);
  expect(unlikely.join("; ")).toMatch(/took as long.*51 of its answers.*agent is 1.0.0.*Math.random.*millionth/);
});
