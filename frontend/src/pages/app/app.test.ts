import { expect, test } from "vitest";
import { foldApps } from "../../live/apps";
import { appMark } from "../apps/states";
import { AppGathering, logUrl } from "./log";
import type { AppView, Release } from "./queries";
import { changesOf } from "./Releases";
import { stepsOf } from "./Steps";

const release = (part: Partial<Release>) =>
  ({
    number: 2,
    state: "pending",
    source: "sha256:b",
    config: {},
    plan: { kind: "python", processes: { web: "python main.py" } },
    env: [],
    of: 0,
    reason: null,
    ...part,
  }) as Release;

const app = (state: string, live = 1) =>
  ({ live, urls: ["http://shop/"], replicas: [{ release: 2, state, nodeId: "n1" }] }) as unknown as AppView;

const states = (of: AppView, one: Release) => stepsOf(of, one).map((step) => step.state);

test("a deployment is live only after its health check passed", () => {
  const pending = release({});
  expect(states(app("unplaced"), pending)).toEqual(["now", "waits", "waits", "waits", "waits"]);
  expect(states(app("building"), pending)).toEqual(["done", "now", "waits", "waits", "waits"]);
  expect(states(app("starting"), pending)).toEqual(["done", "done", "now", "waits", "waits"]);
  expect(states(app("healthy"), pending)).toEqual(["done", "done", "done", "done", "now"]);
  expect(states(app("healthy", 2), release({ state: "live" }))).toEqual(["done", "done", "done", "done", "done"]);
});

test("a release that failed says in which step", () => {
  const failed = (code: string) =>
    states(app("failed"), release({ state: "failed", reason: { code, message: "", hint: "" } }));
  expect(failed("build_failed")).toEqual(["done", "failed", "waits", "waits", "waits"]);
  expect(failed("never_listened")).toEqual(["done", "done", "done", "failed", "waits"]);
});

test("what changed from release to release is said in words", () => {
  const before = release({ number: 1, source: "sha256:a", env: ["OLD"] });
  const now = release({ config: { ram: "1GB" } as never, env: ["NEW"] });
  expect(changesOf(now, before)).toEqual(["another source", 'ram "1GB"', "with NEW", "without OLD"]);
  expect(changesOf(release({ of: 1 }), before)).toEqual(["release 1 again"]);
});

test("an app that has nothing healthy is down", () => {
  expect(appMark({ state: "degraded", ready: 0, wanted: 1 }).word).toBe("down");
  expect(appMark({ state: "degraded", ready: 1, wanted: 2 }).word).toBe("degraded");
  expect(appMark({ state: "running", ready: 1, wanted: 1 }).word).toBe("running");
});

test("apps that changed take their places, and those that are gone leave", () => {
  const row = (id: string, state: string) => ({ id, state }) as never;
  const folded = foldApps(
    { apps: [row("a", "running"), row("b", "running")], gone: [] },
    { apps: [row("b", "failed"), row("c", "running")], gone: ["a"] },
  );
  expect(folded.apps).toEqual([row("b", "failed"), row("c", "running")]);
});

test("lines of all replicas come once, each under its own", () => {
  const piece = (id: string, generation: number, text: string) => ({
    id,
    generation,
    text,
    at: "",
    process: "web",
    index: generation - 1,
    release: 1,
    nodeId: "",
    stream: "stdout",
  });
  const gathering = new AppGathering();
  gathering.add(piece("5", 1, "one\ntwo\n"));
  gathering.add(piece("5", 2, "other\n"));
  gathering.add(piece("5", 1, "one\ntwo\n"));
  expect(gathering.settle(false, false).lines.map((line) => line.text)).toEqual([
    "web.0 │ one",
    "web.0 │ two",
    "web.1 │ other",
  ]);
  expect(gathering.position).toBe(5);
  expect(logUrl("shop", "web")).toBe("/api/clusters/shop/logs?process=web");
});
