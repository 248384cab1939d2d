/** Steps of a run as they are shown: in words, in colour, and on the line of time. */
import { describe, expect, it } from "vitest";
import type { StepView } from "../workflows/queries";
import { barOf, countsOf, sayingOf, toneOf } from "./rows";

const STEP: StepView = {
  id: "a",
  name: "a",
  state: "waiting",
  taskId: null,
  dependencies: [],
  softDependencies: [],
  level: 0,
  items: null,
  startedAt: null,
  finishedAt: null,
  reason: null,
  nodeId: null,
  attempt: 0,
};
const at = (ms: number) => new Date(ms).toISOString();

describe("a step", () => {
  it("that waits for its items runs, and says how far it is", () => {
    expect(sayingOf({ ...STEP, items: { done: 62, total: 100 } })).toEqual({ state: "running", word: "running, 62%" });
    expect(sayingOf(STEP)).toEqual({ state: "waiting", word: "waiting" });
    expect(sayingOf({ ...STEP, state: "running", attempt: 2 }).word).toBe("running, attempt 2");
  });

  it("lies on the line of time where it ran", () => {
    const step = { ...STEP, startedAt: at(2000), finishedAt: at(3000) };
    expect(barOf(step, 1000, 5000)).toEqual({ begin: 0.25, length: 0.25 });
    expect(barOf({ ...step, finishedAt: null }, 1000, 5000)).toEqual({ begin: 0.25, length: 0.75 });
    expect(barOf({ ...step, startedAt: null }, 1000, 5000)).toEqual({ begin: 0.5, length: 0 });
    expect(barOf(STEP, 1000, 5000)).toBe(null);
    expect(barOf({ ...step, startedAt: at(0), finishedAt: at(0) }, 1000, 5000)).toEqual({ begin: 0, length: 0 });
  });
});

describe("several steps", () => {
  it("have the tone of the worst of them, and are done only together", () => {
    const steps = ["succeeded", "failed", "running", "waiting"].map((state) => ({ ...STEP, state }));
    expect(toneOf(countsOf(steps, [0, 1, 2, 3]))).toBe("bad");
    expect(toneOf(countsOf(steps, [0, 2, 3]))).toBe("deep");
    expect(toneOf(countsOf(steps, [0, 3]))).toBe("mute");
    expect(toneOf(countsOf(steps, [0]))).toBe("go");
    expect(toneOf(countsOf(steps, []))).toBe("mute");
  });
});
