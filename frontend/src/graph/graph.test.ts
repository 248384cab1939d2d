/** Graphs are folded so that they can be looked at, laid out in order, and walked through by arrows. */
import { describe, expect, it } from "vitest";
import { ALIKE_MAX, BOX, BOXES_MAX, fold, type Linked, netOf } from "./fold";
import { draw } from "./layout";
import { nearest } from "./nearest";
import { doneOf, inOrder, inWords } from "./StateBar";

function step(id: string, ...dependencies: string[]): Linked {
  return { id, dependencies, softDependencies: [] };
}

function fan(width: number): Linked[] {
  const parts = Array.from({ length: width }, (_, at) => step(`part-${at}`, "split"));
  return [step("split"), ...parts, step("join", ...parts.map((part) => part.id))];
}

describe("fold", () => {
  it("leaves a small graph as it is", () => {
    const { boxes, lines, thinned } = fold(fan(3));
    expect(boxes.map((box) => box.kind)).toEqual(["step", "step", "step", "step", "step"]);
    expect(lines.map(({ from, to }) => `${from}-${to}`).sort()).toEqual(["0-1", "0-2", "0-3", "1-4", "2-4", "3-4"]);
    expect(thinned).toBe(false);
  });

  it("makes one box of more steps alike than can be told apart", () => {
    expect(fold(fan(ALIKE_MAX)).boxes).toHaveLength(ALIKE_MAX + 2);
    const { boxes, lines } = fold(fan(1998));
    expect(boxes.map((box) => [box.kind, box.members.length])).toEqual([
      ["step", 1],
      ["alike", 1998],
      ["step", 1],
    ]);
    expect(lines).toEqual([
      { from: 0, to: 1, soft: false },
      { from: 1, to: 2, soft: false },
    ]);
  });

  it("tells steps apart that others wait for differently, or softly", () => {
    const parts = Array.from({ length: 60 }, (_, at) => step(`a${at}`));
    const soft = { id: "z", dependencies: [], softDependencies: parts.slice(1).map((part) => part.id) };
    const { boxes, lines } = fold([...parts, soft]);
    expect(boxes.map((box) => box.members.length)).toEqual([1, 59, 1]);
    expect(lines).toEqual([{ from: 1, to: 2, soft: true }]);
  });

  it("takes levels together where there would be too many boxes, and loses no step", () => {
    const first = Array.from({ length: 1000 }, (_, at) => step(`a${at}`));
    const second = first.map((one, at) => step(`b${at}`, one.id));
    const { boxes, boxesInAll } = fold([...first, ...second, step("end", ...second.map((one) => one.id))]);
    expect(boxesInAll).toBe(2001);
    expect(boxes.map((box) => [box.kind, box.first, box.last, box.members.length])).toEqual([
      ["levels", 0, 0, 1000],
      ["levels", 1, 1, 1000],
      ["step", 2, 2, 1],
    ]);
    const chain = Array.from({ length: 2000 }, (_, at) => (at === 0 ? step("s0") : step(`s${at}`, `s${at - 1}`)));
    const folded = fold(chain);
    expect(folded.boxes.length).toBeLessThanOrEqual(BOXES_MAX);
    expect(folded.boxes.flatMap((box) => box.members)).toHaveLength(2000);
  });

  it("counts the longest way as the level", () => {
    expect(netOf([step("a"), step("b", "a"), step("c", "a", "b")]).levels).toEqual([0, 1, 2]);
  });
});

describe("draw", () => {
  it("puts what comes later to the right, what was named first above, and no box on another", () => {
    const { places } = draw(fan(3), false);
    expect(places[0]!.x).toBeLessThan(places[1]!.x);
    expect(places[3]!.x).toBeLessThan(places[4]!.x);
    expect(places[1]!.y + BOX.height).toBeLessThan(places[2]!.y);
    expect(places[2]!.y + BOX.height).toBeLessThan(places[3]!.y);
  });

  it("leads a line round the boxes between its ends, whichever way up it is drawn", () => {
    const steps = [
      step("fetch"),
      step("clean", "fetch"),
      step("enrich", "fetch"),
      step("convert", "fetch"),
      step("verify", "clean", "enrich"),
      step("publish", "verify", "convert"),
    ];
    for (const one of [steps, [...steps].reverse()]) {
      const { places, ways } = draw(one, false);
      const passed = ways.flat();
      expect(passed).toHaveLength(1);
      for (const { x, y } of passed) {
        const here = places.filter((place) => Math.abs(place.x + BOX.width / 2 - x) < 1);
        expect(here.length).toBeGreaterThan(0);
        for (const place of here) expect(y < place.y || y > place.y + BOX.height).toBe(true);
      }
    }
  });

  it("stands a tangle, and soon", () => {
    const row = (level: number) => Array.from({ length: 14 }, (_, at) => `${level}-${at}`);
    const steps = row(0).map((id) => step(id));
    for (let level = 1; level < 14; level++) steps.push(...row(level).map((id) => step(id, ...row(level - 1))));
    const began = performance.now();
    const { places, lines, thinned } = draw(steps, false);
    expect(performance.now() - began).toBeLessThan(1000);
    expect([lines.length, thinned]).toEqual([2548, false]);
    expect(new Set(places.map(({ x, y }) => `${x} ${y}`)).size).toBe(196);
    expect(Math.max(...places.map((place) => place.y)) - Math.min(...places.map((place) => place.y))).toBe(13 * 72);
  });

  it("gives every step a box where that is wanted, and stands a cycle", () => {
    expect(draw(fan(80), true).boxes).toHaveLength(82);
    expect(draw([step("a", "b"), step("b", "a")], true).places).toHaveLength(2);
  });
});

describe("nearest", () => {
  const places = [
    { x: 0, y: 0 },
    { x: 100, y: 10 },
    { x: 90, y: 200 },
    { x: 0, y: 60 },
  ];
  it("goes where the arrow points, straight rather than aside", () => {
    expect(nearest(places, 0, "ArrowRight")).toBe(1);
    expect(nearest(places, 0, "ArrowDown")).toBe(3);
    expect(nearest(places, 2, "ArrowUp")).toBe(1);
    expect(nearest(places, 0, "ArrowLeft")).toBe(null);
    expect(nearest(places, 0, "x")).toBe(null);
  });
});

describe("counts", () => {
  it("are said in the order in which they fill the bar", () => {
    const counts = { waiting: 2, succeeded: 3, failed: 1, leased: 0 };
    expect(inOrder(counts)).toEqual([
      ["succeeded", 3],
      ["failed", 1],
      ["waiting", 2],
    ]);
    expect(inWords(counts)).toBe("3 done, 1 failed, 2 waiting");
    expect(doneOf(counts)).toEqual({ done: 4, all: 6 });
  });
});
