import { expect, test } from "vitest";
import type { NodeView } from "../../api/client";
import { clock, isOwnMachine, stepsOf } from "./steps";

const USED = { state: "used", nodeId: "REX-0D91BE", usedAt: "2026-01-01T19:14:02Z", usedFrom: "10.4.1.22" };
const WAITING = { state: "waiting", nodeId: null, usedAt: null, usedFrom: null };
const node = (more: object) =>
  ({
    nodeId: "REX-0D91BE",
    status: "offline",
    seenAt: null,
    measuredAt: null,
    speed: 0,
    specs: { version: "0.4.1", cores: 16, ram: 64, gpus: [], runtimes: { wasm: "1", isolate: "1" } },
    ...more,
  }) as unknown as NodeView;

test("a step is done once the server says so, and one is under way", () => {
  const seenAt = "2026-01-01T19:14:03Z";
  const online = node({ status: "online", seenAt });
  const is = (...of: Parameters<typeof stepsOf>) => stepsOf(...of).map((step) => step.is);
  expect(is(undefined, undefined, 0)).toEqual(["now", "next", "next", "next", "next"]);
  expect(is(WAITING, undefined, 0)).toEqual(["now", "next", "next", "next", "next"]);
  expect(is(USED, node({}), 0)).toEqual(["done", "now", "next", "next", "next"]);
  expect(is(USED, online, 2100)).toEqual(["done", "done", "done", "now", "next"]);
  expect(is(USED, { ...online, measuredAt: seenAt, speed: 412 }, 3000)).toEqual([
    "done",
    "done",
    "done",
    "done",
    "done",
  ]);
  expect(is(USED, online, 20_000)).toEqual(["done", "done", "done", "done", "done"]);
  expect(stepsOf(USED, online, 2100).map((step) => step.says)).toEqual([
    "Called in from 10.4.1.22",
    "Named REX-0D91BE, agent 0.4.1",
    "Found 16 cores, 64.0 GiB, no GPU; isolate, wasm",
    "Running its first check, a known task (2.1 s of about 5 s)",
    "Ready for work",
  ]);
});

test("what is left is a clock, and a machine's own address is known as such", () => {
  expect([clock(892_000), clock(61_001), clock(-5)]).toEqual(["14:52", "1:02", "0:00"]);
  expect(isOwnMachine("curl -fsSL http://127.0.0.1:5000/join.sh | sh")).toBe(true);
  expect(isOwnMachine("curl -fsSL https://anchor.lab/join.sh | sh")).toBe(false);
});
