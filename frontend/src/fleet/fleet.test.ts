import { expect, test } from "vitest";
import type { NodeView } from "../api/client";
import { Fleet } from "./fleet";
import { groupsOf, summary, wordsOf } from "./groups";
import { GAP, grainOf, Layout } from "./soundings";

const view = (nodeId: string, labels: string[] = [], owner = "") =>
  ({
    nodeId,
    status: "online",
    labels,
    slots: 4,
    active: 0,
    owner,
    seenAt: null,
    metrics: { cpuUsage: 5 },
    specs: { runtimes: { wasm: "1", isolate: "1" }, version: "0.3" },
  }) as unknown as NodeView;

test("what a node is comes before how busy it is", () => {
  const fleet = new Fleet();
  fleet.apply([
    ["A", "online", 0, 4, 1, ""],
    ["B", "online", 2, 4, 1, ""],
    ["C", "draining", 2, 4, 1, ""],
    ["D", "offline", null, 4, 1, "failing"],
    ["E", "online", 3, 4, 90, "failing"],
    ["F", "online", 3, 4, 90, "flagged"],
    ["G", "blocked", 3, 4, 90, ""],
    ["H", "quarantined", 3, 4, 90, ""],
  ]);
  const marks = fleet.ids.map((_, place) => fleet.markOf(place));
  expect(marks).toEqual(["idle", "working", "draining", "lost", "failing", "flagged", "blocked", "flagged"]);
  expect(fleet.loadOf(1)).toBe(0.5);
  fleet.apply([["F", "draining", 3, 4, 90, "flagged"]]);
  expect(wordsOf(fleet, 5)).toBe("F: flagged, draining, 3 of 4 slots in use, CPU 90 %");
});

test("what the list says of a node before the link names it is known of it then", () => {
  const fleet = new Fleet();
  fleet.learn([view("A", ["site:Vigo"], "anna")], true);
  expect(fleet.size).toBe(0);
  fleet.apply([["A", "online", 0, 4, 1, ""]]);
  expect(groupsOf(fleet, "site").map((group) => group.name)).toEqual(["Vigo"]);
  expect(fleet.unknown).toBe(0);
});

test("a frame changes the nodes it names and no others, and there is room for any number", () => {
  const fleet = new Fleet();
  fleet.apply(Array.from({ length: 1000 }, (_, at) => [`N${at}`, "online", at % 5, 4, at % 100, ""]));
  const shape = fleet.shape;
  fleet.apply([["N7", "offline", null, 4, 0, ""]]);
  expect([fleet.size, fleet.markOf(7), fleet.markOf(8), fleet.cpu[99]]).toEqual([1000, "lost", "working", 99]);
  expect(fleet.shape).toBe(shape);
  fleet.apply([
    ["N7", "offline", null, 4, 0, ""],
    ["new", "offline", null, 4, 0, ""],
  ]);
  expect(fleet.losses).toBe(1);
  expect(Object.values(fleet.tally()).reduce((sum, one) => sum + one)).toBe(1001);
});

test("groups are the largest first, and one sentence says it all", () => {
  const fleet = new Fleet();
  fleet.learn([view("B", ["site=X"]), view("A", ["site:X"]), view("C", [], "ann")], false);
  fleet.apply([["A", "offline", null, 4, 0, ""]]);
  const named = (by: "site" | "owner") =>
    groupsOf(fleet, by).map((group) => [group.name, group.places.map((place) => fleet.ids[place])]);
  expect(named("site")).toEqual([
    ["X", ["A", "B"]],
    ["", ["C"]],
  ]);
  expect(named("owner")[1]).toEqual(["ann", ["C"]]);
  expect(groupsOf(fleet, "runtime")[0]!.name).toBe("isolate, wasm");
  expect(summary(fleet)).toBe("3 nodes: 2 idle, 1 lost");
  expect(wordsOf(fleet, fleet.placeOf("B"))).toBe("B in X: idle, 0 of 4 slots in use, CPU 5 %");
});

test("a point of the chart is the node that is drawn there, and a stretch of it those within", () => {
  const layout = new Layout(100, grainOf([100, 900], 1000), 1000);
  const [x, y] = layout.centre(17);
  expect(layout.at(x, y)).toBe(17);
  expect(layout.at(0, 0)).toBe(-1);
  expect(layout.within(0, 0, layout.width, layout.height)).toHaveLength(100);
  expect(layout.within(x - 1, y - 1, x + 1, y + 1)).toEqual([17]);
  expect(new Layout(1000, grainOf([1000], 300), 300).width).toBeLessThanOrEqual(300);
  const few = new Layout(5, grainOf([5, 1], 840), 840);
  expect(few.isNamed).toBe(true);
  const [markX, markY] = few.centre(4);
  expect([few.at(markX, markY), few.at(markX + 60, markY)]).toEqual([4, 4]);
  expect(few.width).toBeGreaterThan(markX + 80);
  const sizes = [260, 240, 200, 180, 120];
  const widths = sizes.map((size) => new Layout(size, grainOf(sizes, 840), 840).width + GAP);
  expect(widths.reduce((sum, one) => sum + one)).toBeLessThanOrEqual(840 + GAP);
});
