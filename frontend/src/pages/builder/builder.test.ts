/** A workflow being built: text and graph follow each other, and what is wrong is said in words. */
import { describe, expect, it } from "vitest";
import { BOX } from "../../graph/fold";
import {
  added,
  connected,
  draftOf,
  EMPTY,
  type GraphDraft,
  isYaml,
  read,
  removed,
  replaced,
  withText,
  withYaml,
} from "./draft";
import { EXAMPLES } from "./examples";
import { faultsOf } from "./faults";
import { kindOf, stepOf } from "./kinds";
import { allPlaces } from "./places";
import { isKept } from "./useDraft";

const graph = (...steps: GraphDraft["steps"]): GraphDraft => ({ name: "g", steps });
const says = (one: GraphDraft) => faultsOf(one).map((fault) => fault.says);

describe("faults", () => {
  it("name a cycle along its way", () => {
    const cycle = graph(
      { id: "a", dependencies: ["c"] },
      { id: "b", dependencies: ["a"] },
      { id: "c", softDependencies: ["b"] },
      { id: "d", dependencies: ["c"] },
    );
    const [only] = faultsOf(cycle);
    expect(only!.says).toMatch(/^These wait for each other: (a → b → c → a|b → c → a → b|c → a → b → c)\.$/);
    expect(says(graph({ id: "a", dependencies: ["b"] }, { id: "b", dependencies: ["a"] }))).toEqual([
      "These wait for each other: b → a → b.",
    ]);
  });

  it("name what is there twice, what is not there, and what waits for itself", () => {
    expect(says(graph({ id: "a" }, { id: "a" }))).toEqual(["Two steps are called “a”: give one of them another name."]);
    expect(says(graph({ id: "a", dependencies: ["b"] }))).toEqual(["“a” waits for “b”, which is no step."]);
    expect(says(graph({ id: "a", dependencies: ["a"] }))).toEqual(["“a” waits for itself: a → a."]);
    expect(says(graph({ id: "a", payload: { sourceFile: "a.py" } }))[0]).toContain("only anchor dag run reads");
    expect(says(EMPTY)).toEqual(["There is no step yet."]);
  });

  it("name a cycle by way of a list, too", () => {
    const steps = graph({ id: "a", dependencies: ["b"] }, { id: "b", type: "parallel", items: { step: "a" } });
    expect(says(steps)).toEqual(["These wait for each other: b → a → b."]);
  });

  it("has none against the examples", () => {
    for (const example of EXAMPLES) expect(says(example.graph)).toEqual([]);
  });
});

describe("text", () => {
  it("that is no graph leaves the graph as it was, and says why", () => {
    const draft = draftOf(graph({ id: "a" }));
    const broken = withText(draft, "{\n  “");
    expect(broken.graph).toBe(draft.graph);
    expect(broken.wrong).toMatch(/^This is no JSON/);
    expect(read("[]")).toHaveProperty("wrong");
    expect(read('{"steps": [{}]}')).toEqual({ wrong: "Step 1 has no “id”, a text." });
    expect(read('{"steps": [{"id": "a", "dependencies": "b"}]}')).toHaveProperty("wrong");
  });

  it("that is no JSON is YAML, which the server reads", () => {
    const before = draftOf(graph({ id: "a" }));
    const text = "name: g\nsteps:\n  - id: b\n";
    const draft = withText(before, text);
    expect(draft.unread).toBe(true);
    expect(draft.graph).toBe(before.graph);
    const read = withYaml(draft, text, { value: { name: "g", steps: [{ id: "b" }] } });
    expect(read).toMatchObject({ text, unread: false, wrong: null, graph: graph({ id: "b" }) });
    expect(withYaml(draft, text, { wrong: "line 1" })).toMatchObject({ unread: false, wrong: "line 1" });
    expect(withYaml(draft, text, { value: { steps: 5 } }).wrong).toContain("“steps”");
    expect(withYaml(withText(draft, "{}"), text, { wrong: "late" }).wrong).toBe(null);
    expect(["# x", "---\na: 1", "a"].map(isYaml)).toEqual([true, true, true]);
    expect(["", "  ", ' {"a": 1}', "[", "{ “"].map(isYaml)).toEqual([false, false, false, false, false]);
  });

  it("may call its steps tasks, as the API does", () => {
    expect(read('{"name": "n", "tasks": [{"id": "a", "labels": ["x"]}]}')).toEqual({
      graph: { name: "n", steps: [{ id: "a", labels: ["x"] }] },
    });
  });
});

describe("a graph", () => {
  const three = graph(
    { id: "a" },
    { id: "b", dependencies: ["a"] },
    { id: "c", type: "parallel", items: { step: "a" } },
  );

  it("follows a new name, and forgets who is gone", () => {
    const renamed = replaced(three, 0, { id: "z" });
    expect(renamed.steps[1]!.dependencies).toEqual(["z"]);
    expect(renamed.steps[2]!.items).toEqual({ step: "z" });
    expect(removed(three, 0).steps.map((step) => step.dependencies ?? [])).toEqual([[], []]);
  });

  it("is connected and taken apart", () => {
    const more = connected(added(three, { id: "d" }), "b", "d", true);
    expect(more.steps[3]!.dependencies).toEqual(["b"]);
    expect(connected(more, "b", "d", true).steps[3]!.dependencies).toEqual(["b"]);
    expect(connected(more, "b", "d", false).steps[3]!.dependencies).toEqual([]);
  });

  it("has no two boxes in one place", () => {
    const spots = allPlaces(graph({ id: "a" }, { id: "a" }, { id: "b", dependencies: ["a"] }, { id: "c" }), {});
    for (const [at, spot] of spots.entries()) {
      for (const other of spots.slice(at + 1)) {
        expect(Math.abs(spot.x - other.x) >= BOX.width || Math.abs(spot.y - other.y) >= BOX.height).toBe(true);
      }
    }
  });
});

describe("a step", () => {
  it("keeps what its form does not show", () => {
    const before = { id: "a", retry: { attempts: 1 }, payload: { runtime: "isolate", sourceCode: "1", input: 7 } };
    const after = stepOf(before, { id: "a", kind: "native-py", code: "x", after: ["b"], items: [1] });
    expect(after).toEqual({
      id: "a",
      retry: { attempts: 1 },
      type: "parallel",
      items: [1],
      dependencies: ["b"],
      payload: { runtime: "native", language: "python", sourceCode: "x", input: 7 },
    });
    expect(kindOf(after)).toBe("native-py");
    const bare = stepOf(after, { id: "a", kind: "none", code: "x", after: [], items: [1] });
    expect(bare).toEqual({ id: "a", retry: { attempts: 1 } });
  });

  it("that only JSON can say stays as it is", () => {
    const wasm = { id: "w", type: "wasm", payload: { module: "sha256:1" } };
    expect(kindOf(wasm)).toBe("other");
    expect(stepOf(wasm, { id: "v", kind: "other", code: "", after: [], items: null })).toEqual({ ...wasm, id: "v" });
  });
});

describe("what others may have written", () => {
  it("puts a step called as what every object has where it belongs", () => {
    const graph = { steps: [{ id: "constructor" }, { id: "b", dependencies: ["constructor"] }] };
    for (const place of allPlaces(graph, {})) expect([place.x, place.y].every(Number.isFinite)).toBe(true);
  });

  it("takes from the browser only what was kept there", () => {
    expect(isKept({ text: "{}", places: { a: { x: 1, y: 2 } } })).toBe(true);
    for (const garbage of [null, 5, [], {}, { text: 5, places: {} }, { text: "{}", places: { a: 5 } }]) {
      expect(isKept(garbage), JSON.stringify(garbage)).toBe(false);
    }
    expect(isKept({ text: "{}", places: { a: null } })).toBe(false);
  });
});
