import { expect, test } from "vitest";
import { Fleet } from "../../fleet/fleet";
import type { Mark } from "../../live/marks";
import { heightOf, placeAt, rowHeight, timeAt } from "./drawStream";
import { needs } from "./needs";
import { rangeOf } from "./queries";
import { colourOf, Stream } from "./stream";

test("trouble of the server, cases, apps and lost nodes need somebody; a stopped app does not", () => {
  const app = { id: "a", name: "web", title: "", reason: null, ready: 0, wanted: 2, changedAt: "2026-01-01T00:00:00Z" };
  const fleet = new Fleet();
  fleet.apply([
    ["A", "offline", null, 4, 0, ""],
    ["B", "online", 0, 4, 0, ""],
    ["C", "online", 0, 4, 0, "flagged"],
  ]);
  const found = needs({
    health: {
      status: "degraded",
      version: "",
      uptimeSeconds: 1,
      problems: [{ code: "disk", message: "Full.", hint: "", since: "" }],
    },
    apps: [{ ...app, state: "failed" } as never, { ...app, id: "b", state: "stopped" } as never],
    fleet,
    inconclusive: [{ id: "t", name: "sum", finishedAt: null } as never],
    stranded: 2,
  });
  expect(found.map((need) => need.title)).toEqual([
    "The server has trouble",
    "No node is there",
    "No agreement",
    "App is down",
    "1 node lost",
    "Node is flagged",
  ]);
  expect(found.map((need) => need.way.to)).toEqual([
    "/settings",
    "/nodes",
    "/tasks",
    "/clusters/$id",
    "/nodes/$id",
    "/nodes/$id",
  ]);
  expect(needs({})).toEqual([]);
});

test("what a case tells of is told once", () => {
  const fleet = new Fleet();
  fleet.apply([["A", "quarantined", 0, 4, 0, "flagged"]]);
  const row = { id: "case_1", taskId: "t", taskName: "sum", dissenters: ["A"], openedAt: "" } as never;
  const found = needs({ cases: [row], fleet, inconclusive: [{ id: "t", name: "sum", finishedAt: null } as never] });
  expect(found.map((need) => need.says)).toEqual(["sum. A gave a different answer."]);
});

const ran = (task: string, state: string, node: string, since: number, at: number): Mark => [
  task,
  `${task} name`,
  state,
  node,
  since,
  at,
];

test("a task is drawn from its beginning, and to its end once that is known", () => {
  const stream = new Stream();
  stream.take([ran("a", "running", "N", 100, 100)], 1);
  expect(stream.within(0, 500, 9)).toMatchObject([{ task: "a", from: 100, to: Number.POSITIVE_INFINITY }]);
  stream.take([ran("a", "failed", "N", 100, 300), ran("b", "queued", "", 0, 300)], 2);
  expect(stream.within(0, 500, 9)).toMatchObject([{ task: "a", end: "failed", to: 300 }]);
  expect(stream.within(301, 500, 9)).toEqual([]);
});

test("of a sample nobody claims to know what still runs", () => {
  const stream = new Stream();
  stream.take([ran("a", "running", "N", 100, 100)], 1);
  stream.take([ran("b", "succeeded", "N", 120, 150), ran("c", "running", "N", 140, 140)], 50);
  expect(stream.within(90, 500, 9).map((one) => one.task)).toEqual(["b"]);
});

test("tasks at the same time on one node lie above each other", () => {
  const stream = new Stream();
  stream.take([ran("a", "running", "N", 100, 100), ran("b", "running", "N", 110, 110)], 2);
  expect([stream.lane[0], stream.lane[1], stream.lanesOf(0)]).toEqual([0, 1, 2]);
  stream.take([ran("a", "succeeded", "N", 100, 200), ran("c", "running", "N", 210, 210)], 2);
  expect(stream.lane[2]).toBe(0);
});

test("a list of what runs begins what nobody told of, and ends what is not in it", () => {
  const stream = new Stream();
  stream.settle([{ id: "a", name: "", nodeId: "N", startedAt: new Date(1000).toISOString() }], 2000);
  expect(stream.within(0, 9000, 9)).toMatchObject([{ task: "a", from: 1000 }]);
  stream.settle([], 8000);
  expect(stream.within(8001, 9000, 9)).toEqual([]);
});

test("what ended before anything was told takes its place in time, in lanes of its own", () => {
  const stream = new Stream();
  const past = (id: string, state: string, from: number, to: number | null) => {
    const [startedAt, finishedAt] = [from, to].map((at) => (at === null ? null : new Date(at).toISOString()));
    return { id, name: id, nodeId: "N", state, startedAt: startedAt!, finishedAt: finishedAt! };
  };
  stream.take([ran("c", "running", "N", 5000, 5000)], 1);
  const listed = [
    past("c", "running", 5000, null),
    past("b", "failed", 3000, 4000),
    past("a", "succeeded", 1000, 2000),
  ];
  stream.recall(listed);
  stream.recall(listed);
  expect(stream.within(1, 9000, 9).map(({ task, end, to }) => [task, end, to])).toEqual([
    ["c", "running", Number.POSITIVE_INFINITY],
    ["b", "failed", 4000],
    ["a", "succeeded", 2000],
  ]);
  expect(stream.lanesOf(0)).toBe(1);
  stream.take([ran("c", "succeeded", "N", 5000, 6000)], 1);
  expect(stream.within(1, 9000, 1)).toMatchObject([{ task: "c", end: "succeeded", to: 6000 }]);
});

test("it keeps the newest, however many come", () => {
  const stream = new Stream();
  for (let at = 0; at < 40_000; at += 1) stream.take([ran(`t${at}`, "succeeded", "N", at, at + 1)], 1);
  expect(stream.within(0, 99_999, 99_999)).toHaveLength(1 << 15);
  expect(stream.within(0, 99_999, 1)[0]!.task).toBe("t39999");
});

test("a point of the stream is the task that is drawn there", () => {
  const stream = new Stream();
  stream.take([ran("a", "succeeded", "N", 20_000, 40_000)], 1);
  const view = { from: 0, to: 60_000, rows: [0] };
  const size = { width: 1000, room: 404 };
  const x = [...Array(1000).keys()].find((at) => timeAt(at, 1000, view) >= 30_000)!;
  expect(placeAt(x, 25, size, stream, view, 60_000)).toBe(0);
  expect(placeAt(x + 400, 25, size, stream, view, 60_000)).toBe(-1);
  expect(rowHeight(44, 404)).toBe(9);
  expect(heightOf(1, 404)).toBe(110);
  expect(heightOf(44, 404)).toBeLessThan(420);
  expect(colourOf("render 1")).toBe(colourOf("render 22"));
});

test("a range that there is not is the shortest", () => {
  expect([rangeOf("360"), rangeOf("7"), rangeOf(undefined)]).toEqual([360, 30, 30]);
});

test("a stream in which nothing runs, and nothing ran lately, stands still", () => {
  const stream = new Stream();
  expect(stream.isStill(0)).toBe(true);
  stream.settle([{ id: "t", name: "sum", nodeId: "A", startedAt: "1970-01-01T00:00:01Z" }], 2000);
  expect(stream.isStill(60_000)).toBe(false);
  stream.take([["t", "sum", "succeeded", "A", 1000, 61_000]], 1);
  expect(stream.isStill(60_000)).toBe(false);
  expect(stream.isStill(61_001)).toBe(true);
  stream.recall([
    {
      id: "u",
      name: "sum",
      nodeId: "B",
      state: "failed",
      startedAt: "1970-01-01T00:01:01Z",
      finishedAt: "1970-01-01T00:01:02Z",
    },
  ]);
  expect(stream.isStill(61_001)).toBe(false);
});
