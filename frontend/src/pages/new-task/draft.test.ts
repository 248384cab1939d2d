import { expect, test } from "vitest";
import type { TaskView } from "../../api/client";
import { commandOf, literal, pythonOf } from "./code";
import { drafted, draftOf, quoted, words } from "./draft";
import { EXAMPLES } from "./examples";
import { isDraft } from "./kept";
import { outline, specOf } from "./spec";

const ORIGIN = "http://localhost:5000";

test("a draft with nothing but code is a task with nothing but code", () => {
  const { spec, faults } = specOf(drafted({ name: " t ", javascript: "return 1" }));
  expect(faults).toEqual([]);
  expect(spec).toEqual({ name: "t", type: "script", payload: { sourceCode: "return 1", runtime: "isolate" } });
});

test("every field ends up where the API has it", () => {
  const { spec, faults } = specOf(
    drafted({
      name: "t",
      language: "python",
      runtime: "native",
      python: "x",
      packages: "numpy  rich==13",
      network: true,
      args: "a 'b c'",
      input: '{"n": 1}',
      copies: "5",
      sameOwner: true,
      memory: "64",
      timeout: "1.5",
      tries: "2",
      cores: "4",
      ram: "2",
      gpu: true,
      labels: "site:Vigo, fast",
      where: "node.speed > 1",
    }),
  );
  expect(faults).toEqual([]);
  expect(spec).toEqual({
    name: "t",
    type: "script",
    payload: {
      sourceCode: "x",
      language: "python",
      runtime: "native",
      dependencies: ["numpy", "rich==13"],
      network: true,
      args: ["a", "b c"],
      input: { n: 1 },
    },
    requirements: {
      minCores: 4,
      minRam: 2,
      gpuRequired: true,
      labels: ["site:Vigo", "fast"],
      expression: "node.speed > 1",
    },
    limits: { memoryMb: 64, timeoutSeconds: 1.5 },
    retry: { attempts: 2 },
    verify: { policy: "quorum", copies: 5, agree: 3, sameOwner: true },
  });
});

test("what is no number, no JSON or missing is said at its place", () => {
  const { faults } = specOf(drafted({ javascript: "x", memory: "lots", input: "{" }));
  expect(faults.map((one) => one.pointer)).toEqual(["/name", "/limits/memoryMb", "/payload/input"]);
});

test("a task that was run becomes the same task again, with what the form has no field for", () => {
  const before = {
    id: "task_1",
    name: "before",
    type: "script",
    runtime: "native",
    priority: 3,
    labels: ["nightly"],
    payload: {
      runtime: "native",
      command: ["sh", "-c", "echo it's $X"],
      env: { X: "1" },
      input: [1],
    },
    requirements: { minCores: 2 },
    limits: { memoryMb: 64, diskMb: 5 },
    retry: { attempts: 2, backoffSeconds: 1 },
    verify: { copies: 4, agree: 3, compare: "json" },
  } as unknown as TaskView;
  const { spec, faults } = specOf(draftOf(before));
  expect(faults).toEqual([]);
  expect(spec).toEqual({
    name: "before",
    type: "script",
    priority: 3,
    labels: ["nightly"],
    payload: before.payload,
    requirements: { minCores: 2 },
    limits: { memoryMb: 64, diskMb: 5 },
    retry: { attempts: 2, backoffSeconds: 1 },
    verify: before.verify,
  });
  expect(specOf(draftOf({ ...before, verify: { copies: 2 } as never })).spec.verify).toEqual({
    policy: "quorum",
    copies: 2,
    agree: 2,
  });
});

test("what decides who fits has no more of the code than that there is some", () => {
  const { spec } = specOf(drafted({ name: "t", javascript: "return input", input: "1" }));
  expect(outline(spec).payload).toEqual({ runtime: "isolate", sourceCode: "0" });
});

test("words of a command line come apart as a shell has them, and go back", () => {
  const parted = words(`sh -c 'echo "a b"' plain\\ one "two words"`);
  expect(parted).toEqual(["sh", "-c", 'echo "a b"', "plain one", "two words"]);
  expect(words(parted.map(quoted).join(" "))).toEqual(parted);
  expect(words(quoted("it's"))).toEqual(["it's"]);
});

test("every example is a task without faults", () => {
  for (const { draft } of EXAMPLES) expect(specOf(drafted(draft)).faults).toEqual([]);
});

test("a value as Python writes it", () => {
  expect(literal({ a: [true, null, "x\n"] })).toBe(
    '{\n    "a": [\n        True,\n        None,\n        "x\\n",\n    ],\n}',
  );
  expect(pythonOf(specOf(drafted({ name: "t", javascript: "1" })).spec, ORIGIN)).toContain('"sourceCode": "1",');
});

test("the command line says the same, and its file ends where it should", () => {
  const draft = drafted({ name: "my task", javascript: "a\nEND\n", input: '{"a": "it\'s"}', copies: "3", tries: "1" });
  const command = commandOf(draft, specOf(draft).spec, ORIGIN);
  expect(command).toContain("cat > my-task.js <<'END_'\na\nEND\nEND_\nanchor run my-task.js");
  expect(command).toContain(`--input '{"a":"it'\\''s"}'`);
  expect(command).toContain("--retries 0");
  expect(command).toContain("--verify quorum \\\n  --copies 3 \\\n  --agree 2");
  const shell = drafted({ name: "t", language: "command", runtime: "native", command: "sh -c 'echo hi'" });
  expect(commandOf(shell, specOf(shell).spec, ORIGIN)).toMatch(/-- sh -c 'echo hi'\n$/);
});

test("what a browser kept is a draft only if every field has what it may", () => {
  expect(isDraft(JSON.parse(JSON.stringify(drafted({ name: "a", kept: { payload: { stdin: "x" } } }))))).toBe(true);
  expect(isDraft({ name: "of an older version" })).toBe(true);
  for (const garbage of [null, 5, "x", [1], { name: 5 }, { language: "x" }, { javascript: null }, { kept: 7 }]) {
    expect(isDraft(garbage), JSON.stringify(garbage)).toBe(false);
  }
  expect(isDraft({ kept: { limits: 5 } })).toBe(false);
});
