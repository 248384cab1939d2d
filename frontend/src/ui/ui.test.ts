import { expect, test } from "vitest";
import { problemOf } from "../api/client";
import { nextCursor } from "../api/queries";
import { curlOf } from "./AsCurl";
import { fits } from "./fits";
import { courseOf } from "./Sparkline";
import { nextOrder, sorted } from "./Table";
import { ago, bytes, lasting } from "./words";

test("a column is asked for thrice: rising, falling, as it came", () => {
  const first = nextOrder(null, "name");
  const second = nextOrder(first, "name");
  expect([first, second, nextOrder(second, "name")]).toEqual([
    { name: "name", falling: false },
    { name: "name", falling: true },
    null,
  ]);
  const columns = [
    { name: "name", width: "1fr", cell: (row: { n: number }) => row.n, by: (row: { n: number }) => row.n },
  ];
  expect(sorted([{ n: 2 }, { n: 10 }, { n: 1 }], columns, second).map((row) => row.n)).toEqual([10, 2, 1]);
});

test("curl asks for a token wherever a token is asked for, and quotes what a shell would read", () => {
  expect(curlOf({ path: "/api/tasks" }, "http://localhost:5000")).toBe(
    "curl -sS \\\n  'http://localhost:5000/api/tasks'",
  );
  const posted = curlOf(
    { method: "POST", path: "/api/tasks", body: { name: "it's" } },
    "https://localhost.evil.example",
  );
  expect(posted).toContain("Bearer $ANCHOR_TOKEN");
  expect(posted).toContain(`'{"name":"it'\\''s"}'`);
});

test("an answer that is no problem document still is a problem in words", () => {
  expect(problemOf("<html>", 502).message).toBe("The server answered 502.");
});

test("a list goes on where the server says", () => {
  const headers = { link: '</api/tasks?limit=200&cursor=c_01>; rel="next"' };
  expect(nextCursor(new Response(null, { headers }))).toBe("c_01");
  expect(nextCursor(new Response())).toBeUndefined();
});

test("a few letters in their order find a command", () => {
  expect(fits("Go to Tasks", "gtt")).toBe(true);
  expect(fits("Go to Tasks", "ttg")).toBe(false);
});

test("times and sizes are said as people say them", () => {
  expect([84, 3200, 41_000, 41 * 60_000, 5 * 3_600_000].map(lasting)).toEqual([
    "84 ms",
    "3.2 s",
    "41 s",
    "41 min",
    "5 h",
  ]);
  expect(ago("2026-01-01T00:00:00Z", Date.parse("2026-01-01T00:02:10Z"))).toBe("2 min ago");
  expect(bytes(3_250_586)).toBe("3.1 MiB");
});

test("a course ends at the right edge, and a flat one is a line", () => {
  expect(courseOf([5])).toBe("");
  expect(courseOf([5, 5, 5]).endsWith("L118.0 20.0")).toBe(true);
  expect(courseOf([1000, 1001]).endsWith("L118.0 19.8")).toBe(true);
});
