import { expect, test } from "vitest";

/** The folders from the ground up: each takes only from those before it. Pages take from pages, too, but in no circle. */
const LAYERS = ["theme", "keyboard", "api", "live", "ui", "fleet", "graph", "shell", "pages", "routes", "main"];

const sources = import.meta.glob<string>(["./**/*.{ts,tsx}", "!./layers.test.ts"], {
  query: "?raw",
  import: "default",
  eager: true,
});

/** What each file takes from which others, both as paths below `src` without what their names end in. */
function imports(): { file: string; from: string }[] {
  return Object.entries(sources).flatMap(([path, text]) => {
    const file = bare(path.slice(2));
    return [...text.matchAll(/(?:from|import|import\()\s*"(\.[^"?]*)/g)].map(([, to = ""]) => ({
      file,
      from: bare(new URL(to, `file:///${file}`).pathname.slice(1)),
    }));
  });
}

function bare(path: string): string {
  return path.replace(/\.tsx?$/, "");
}

function layer(path: string): number {
  return LAYERS.indexOf(path.split("/")[0] ?? "");
}

/** A way along these arrows that comes back to where it began; null where there is none. */
function circle(arrows: ReadonlyMap<string, ReadonlySet<string>>): string[] | null {
  const done = new Set<string>();
  const walk = (at: string, way: readonly string[]): string[] | null => {
    if (way.includes(at)) return [...way.slice(way.indexOf(at)), at];
    if (done.has(at)) return null;
    for (const next of arrows.get(at) ?? []) {
      const found = walk(next, [...way, at]);
      if (found !== null) return found;
    }
    done.add(at);
    return null;
  };
  for (const at of arrows.keys()) {
    const found = walk(at, []);
    if (found !== null) return found;
  }
  return null;
}

function arrowsBy(name: (path: string) => string): Map<string, Set<string>> {
  const arrows = new Map<string, Set<string>>();
  for (const { file, from } of imports()) {
    if (name(file) === name(from)) continue;
    arrows.set(name(file), (arrows.get(name(file)) ?? new Set()).add(name(from)));
  }
  return arrows;
}

test("every folder has its place in the order", () => {
  expect(Object.keys(sources).length).toBeGreaterThan(200);
  expect(
    Object.keys(sources)
      .map((path) => bare(path.slice(2)))
      .filter((path) => layer(path) < 0 && path !== "routes.test"),
  ).toEqual([]);
});

test("nothing is taken from a layer further up", () => {
  const upward = imports().filter(({ file, from }) => layer(file) >= 0 && layer(from) > layer(file));
  expect(upward).toEqual([]);
});

test("no files, and no pages, take from each other in a circle", () => {
  expect(circle(arrowsBy((path) => path))).toBeNull();
  expect(circle(arrowsBy((path) => path.split("/").slice(0, 2).join("/")))).toBeNull();
});
