import { expect, test } from "vitest";
import { Chords, nameOf } from "./chords";

const known = new Set(["g w", "g t", "/", "mod+k", "j"]);
const press = (key: string, more = {}) => ({ key, ctrlKey: false, metaKey: false, altKey: false, ...more });

test("two keys in a row are one shortcut", () => {
  const chords = new Chords();
  expect(chords.read("g", known, 0)).toBeNull();
  expect(chords.read("t", known, 500)).toBe("g t");
});

test("the second key of a pair has a second's time", () => {
  const chords = new Chords();
  chords.read("g", known, 0);
  expect(chords.read("t", known, 1500)).toBe("t");
});

test("a key that ends no pair is itself again", () => {
  const chords = new Chords();
  chords.read("g", known, 0);
  expect(chords.read("j", known, 100)).toBe("j");
});

test("Ctrl and ⌘ are the same, Alt is the system's", () => {
  expect(nameOf(press("K", { metaKey: true }))).toBe("mod+k");
  expect(nameOf(press("k", { ctrlKey: true }))).toBe("mod+k");
  expect(nameOf(press("k", { altKey: true }))).toBeNull();
  expect(nameOf(press("?"))).toBe("?");
});
