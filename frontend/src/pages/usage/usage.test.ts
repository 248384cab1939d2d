import { expect, test } from "vitest";
import { askedOf, csvOf, worked } from "./queries";

test("an address that asks for nonsense is as one that asks for nothing", () => {
  expect(askedOf({ by: "colour", days: "8" })).toEqual({ by: "owner", days: 7 });
  expect(askedOf({ by: "node", days: "90" })).toEqual({ by: "node", days: 90 });
});

test("work is said as people say it", () => {
  expect([0, 0.02, 4.25, 42, 210, 44_640, 1_000_000].map(worked)).toEqual([
    "0 s",
    "20 ms",
    "4.3 s",
    "42 s",
    "3.5 min",
    "12.4 h",
    "278 h",
  ]);
});

test("a name is a cell of its own and never a formula", () => {
  const row = { owner: "", tasks: 1, failed: 0, attempts: 1, cpuSeconds: 1.5, wallSeconds: 2 };
  const lines = csvOf("owner", [
    { ...row, name: 'a "b", c' },
    { ...row, name: "=1+1" },
  ]).split("\r\n");
  expect(lines.slice(1, 3)).toEqual(['"a ""b"", c",,1,0,1,1.5,2', "'=1+1,,1,0,1,1.5,2"]);
});
