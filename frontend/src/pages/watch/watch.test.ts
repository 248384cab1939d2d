import { expect, test } from "vitest";
import type { NodeView } from "../../api/client";
import { foldFleet, soundingOf } from "../../live/watch";
import { needs } from "./needs";
import { bySite, summary } from "./sites";
import { heightOf, indexAt, widthOf } from "./soundings";

const node = (nodeId: string, more: Partial<NodeView> = {}) =>
  ({
    nodeId,
    status: "online",
    labels: [],
    slots: 4,
    active: 0,
    seenAt: null,
    reason: null,
    ...more,
  }) as unknown as NodeView;

test("what a node is comes before how busy it is", () => {
  expect(soundingOf(node("A")).mark).toBe("idle");
  expect(soundingOf(node("A", { active: 2, labels: ["site:Porto"] }))).toMatchObject({
    mark: "working",
    load: 0.5,
    site: "Porto",
  });
  expect(soundingOf(node("A", { active: 2, status: "draining" })).mark).toBe("draining");
  expect(soundingOf(node("A", { active: 2, status: "offline" })).mark).toBe("lost");
  expect(soundingOf(node("A"), ["A", "online", 3, 4, 90, "failing"]).mark).toBe("failing");
});

test("a frame of the fleet changes the nodes it names and no others", () => {
  const before = {
    nodes: [
      ["A", "online", 0, 4, 1, ""],
      ["B", "online", 0, 4, 1, ""],
    ] as never,
  };
  const after = foldFleet(before, { nodes: [["B", "offline", 0, 4, 1, ""]] as never });
  expect(after.nodes.map(([id, status]) => `${id} ${status}`)).toEqual(["A online", "B offline"]);
});

test("sites are the largest first, and one sentence says it all", () => {
  const fleet = [
    node("B", { labels: ["site=X"] }),
    node("A", { labels: ["site=X"], status: "offline" }),
    node("C"),
  ].map((one) => soundingOf(one));
  expect(bySite(fleet).map(([site, nodes]) => [site, nodes.map((one) => one.id)])).toEqual([
    ["X", ["A", "B"]],
    ["", ["C"]],
  ]);
  expect(summary(fleet)).toBe("3 nodes: 2 idle, 1 lost");
});

test("a point of the chart is the node that is drawn there", () => {
  expect(indexAt(10, 10, 100)).toBe(0);
  expect(indexAt(10, 23, 100)).toBe(1);
  expect(indexAt(23, 10, 100)).toBe(10);
  expect(indexAt(1, 1, 100)).toBe(-1);
  expect(indexAt(10, heightOf(100) - 1, 100)).toBe(-1);
  expect(widthOf(1000)).toBeLessThan(1040);
});

test("trouble of the server, cases, apps and lost nodes need somebody; a stopped app does not", () => {
  const app = { id: "a", name: "web", title: "", reason: null, ready: 0, wanted: 2, changedAt: "2026-01-01T00:00:00Z" };
  const found = needs(
    {
      status: "degraded",
      version: "",
      uptimeSeconds: 1,
      problems: [{ code: "disk", message: "Full.", hint: "", since: "" }],
    },
    [],
    [{ ...app, state: "failed" } as never, { ...app, id: "b", state: "stopped" } as never],
    [node("A", { status: "offline", seenAt: "2026-01-01T00:00:00Z" }), node("B")],
  );
  expect(found.map((need) => need.title)).toEqual(["The server has trouble", "App is down", "1 node is lost"]);
  expect(needs(undefined)).toEqual([]);
});
