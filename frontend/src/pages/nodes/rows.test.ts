import { expect, test } from "vitest";
import type { NodeView } from "../../api/client";
import { Fleet } from "../../fleet/fleet";
import { checkedOf, claimOf, groupsIn, heardOf, middleSpeed, rowsOf, speedOf, tallyOf, wantedOf } from "./rows";

const node = (nodeId: string, more: object = {}) =>
  ({
    nodeId,
    status: "online",
    labels: ["site:Vigo"],
    slots: 4,
    active: 0,
    owner: "ann",
    seenAt: new Date().toISOString(),
    speed: 0,
    metrics: { cpuUsage: 5 },
    specs: { cores: 8, ram: 15.6, gpus: [], runtimes: { wasm: "1" }, version: "0.3", host: "h", os: "Linux", cpu: "x" },
    ...more,
  }) as unknown as NodeView;

test("rows are the list with what is live, and are found by any word of theirs", () => {
  const fleet = new Fleet();
  const nodes = [node("B"), node("A", { labels: ["site:Porto", "gpu-lab"] }), node("C")];
  fleet.apply([
    ["A", "online", 2, 4, 50, ""],
    ["B", "offline", null, 4, 0, ""],
  ]);
  fleet.learn(nodes, true);
  const rows = rowsOf(nodes, fleet);
  expect(rows.map((row) => row.id)).toEqual(["B", "A"]);
  const ids = (wanted: object) => wantedOf(rows, wanted, "site").map((row) => row.id);
  expect([ids({}), ids({ find: "GPU ann" }), ids({ state: "lost" }), ids({ in: "Porto" })]).toEqual([
    ["A", "B"],
    ["A"],
    ["B"],
    ["A"],
  ]);
  expect(tallyOf(rows)).toEqual([
    ["working", 1],
    ["lost", 1],
  ]);
  expect(groupsIn(rows, "site")).toEqual([
    ["Porto", 1],
    ["Vigo", 1],
  ]);
});

test("what a node claims, what it was found to be, and when it was heard are said in words", () => {
  const fast = node("A", { speed: 600, specs: { cores: 1, ram: 2, gpus: ["x"] } });
  expect(claimOf(fast)).toBe("1 core, 2.0 GiB, 1 GPU");
  expect(middleSpeed([node("B"), fast, node("C", { speed: 300 })])).toBe(600);
  expect(speedOf(fast, 400)).toBe("600 k/s · 1.5×");
  expect(speedOf(node("B", { measuredAt: null }), 400)).toBe("not measured yet");
  expect(speedOf(node("B", { measuredAt: "2026-01-01T00:00:00Z" }), 400)).toBe("claims untruly");
  expect(
    checkedOf(node("A", { standing: { wasm: { right: 8.2, wrong: 1 }, native: { right: 2, wrong: 0 } } })),
  ).toEqual({
    right: 10,
    wrong: 1,
  });
  expect(heardOf(node("A"), "idle")).toBe("now");
  expect(heardOf(node("A"), "lost")).toContain("not since");
  expect(heardOf(node("A", { seenAt: null }), "lost")).toBe("never called in");
});
