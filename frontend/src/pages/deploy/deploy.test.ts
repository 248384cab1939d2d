import { expect, test } from "vitest";
import { ignoring } from "./ignore";
import { configOf, envOf, NO_WISH, planInWords, wishOf } from "./request";
import { sourceOf } from "./source";
import { tarOf } from "./tar";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).replace(/\0.*$/s, "");

/** What a tar holds: path, mode and content of each file. */
async function unpacked(tar: Blob): Promise<[string, string, string][]> {
  const bytes = new Uint8Array(await tar.arrayBuffer());
  const found: [string, string, string][] = [];
  for (let at = 0; bytes[at] !== 0; ) {
    const part = (from: number, length: number) => text(bytes.slice(at + from, at + from + length));
    const size = Number.parseInt(part(124, 12), 8);
    const header = bytes.slice(at, at + 512).fill(32, 148, 156);
    expect(Number.parseInt(part(148, 8), 8)).toBe(header.reduce((sum, byte) => sum + byte, 0));
    const prefix = part(345, 155);
    found.push([prefix ? `${prefix}/${part(0, 100)}` : part(0, 100), part(100, 8), part(512, size)]);
    at += 512 + Math.ceil(size / 512) * 512;
  }
  expect(bytes.length % 512).toBe(0);
  return found;
}

test("files are packed as a tar has them, long paths and programs, too", async () => {
  const long = `${"folder/".repeat(20)}file.txt`;
  const tar = await tarOf([
    { path: long, file: new Blob(["deep"]) },
    { path: "run.sh", file: new Blob(["#!/bin/sh\n"]) },
    { path: "a.txt", file: new Blob([]) },
  ]);
  expect(await unpacked(tar)).toEqual([
    ["a.txt", "0000644", ""],
    [long, "0000644", "deep"],
    ["run.sh", "0000755", "#!/bin/sh\n"],
  ]);
  await expect(tarOf([{ path: "x".repeat(101), file: new Blob() }])).rejects.toThrow("too long");
});

test("what no app needs stays behind, and what its own list says", () => {
  const isOut = ignoring("/build/\n*.log\n# words\n!keep.log\n!.env\ndocs/**/draft.md\n");
  const out = ["node_modules/x/y.js", "deep/.git/config", "build/a.js", "some.log", "a/b.pyc", "docs/a/b/draft.md"];
  expect(out.filter((path) => !isOut(path))).toEqual([]);
  const kept = ["main.py", "keep.log", ".env", "deep/build/a.js", "docs/a/final.md", "node_modules.txt"];
  expect(kept.filter(isOut)).toEqual([]);
});

test("a folder becomes a source that is named after its package", async () => {
  const entry = (path: string, content = "") => ({ path, file: new Blob([content]) });
  const source = await sourceOf([
    entry("shop/package.json", '{"name":"@lab/shop-front"}'),
    entry("shop/node_modules/x.js"),
    entry("shop/anchor-app.toml"),
  ]);
  expect([source.title, source.files, source.ignored, source.hasAppFile]).toEqual(["shop-front", 2, 1, true]);
  expect((await unpacked(source.archive)).map(([path]) => path)).toEqual(["anchor-app.toml", "package.json"]);
  const zip = await sourceOf([entry("site.zip", "PK")]);
  expect([zip.title, zip.files, zip.archive.size]).toEqual(["site", null, 2]);
  await expect(sourceOf([])).rejects.toThrow("no files");
});

test("only what is typed is asked for, over what there was", () => {
  expect(configOf(NO_WISH)).toEqual({});
  const typed = { ...NO_WISH, port: "8080", cpu: "2", ram: "1GB", replicas: "3" };
  expect(configOf(typed)).toEqual({ port: 8080, cpu: 2, ram: "1GB", scale: { web: 3 } });
  expect(configOf({ ...typed, type: "Worker" }).scale).toEqual({ worker: 3 });
  const before = { ram: "256MB", startSeconds: 9, scale: { web: 2, worker: 1 } };
  expect(configOf({ ...NO_WISH, ...wishOf(before), ram: "" }, before)).toEqual({
    startSeconds: 9,
    scale: { web: 2, worker: 1 },
  });
  expect(
    envOf({
      ...NO_WISH,
      env: [
        { name: "A", value: "1" },
        { name: "", value: "x" },
      ],
    }),
  ).toEqual({ A: "1" });
  expect(planInWords({ kind: "node", processes: {}, install: "npm", build: "npm run build", root: "" })).toBe(
    "A Node program, packages by npm, built by npm run build.",
  );
});
