import { expect, test } from "vitest";
import { inert, LINE_CHARACTERS_MAX } from "./inert";
import { Gathering, LINES_MAX } from "./lines";
import { placeIn } from "./places";

const piece = (id: string, text: string, stream = "stdout") => ({
  id,
  attempt: Number(id.split(".")[0]),
  stream,
  at: "2026-01-01T00:00:00Z",
  text,
  fraction: null,
});
const texts = (gathering: Gathering) => gathering.settle(false).lines.map((line) => line.text);

test("pieces become lines, wherever they were cut", () => {
  const gathering = new Gathering();
  gathering.add(piece("1.1", "one\ntw"));
  gathering.add(piece("1.2", "o\nthree"));
  gathering.add(piece("1.3", " and more\n"));
  gathering.add(piece("1.4", "four\n"));
  expect(texts(gathering)).toEqual(["one", "two", "three and more", "four"]);
});

test("a line in many pieces is as long as it is", () => {
  const gathering = new Gathering();
  for (let at = 1; at <= 10; at++) gathering.add(piece(`1.${at}`, "x".repeat(1000)));
  gathering.add(piece("1.11", "\nnext\n"));
  expect(texts(gathering)[0]).toContain("10,000 characters");
  expect(texts(gathering)[1]).toBe("next");
});

test("what comes again after a reconnect is there once", () => {
  const gathering = new Gathering();
  gathering.add(piece("1.1", "one\n"));
  gathering.add(piece("1.2", "two\n"));
  gathering.add(piece("1.1", "one\n"));
  gathering.add(piece("1.2", "two\n"));
  gathering.add(piece("2.1", "again\n"));
  expect(texts(gathering)).toEqual(["one", "two", "again"]);
});

test("an open line is not gone on with by another stream", () => {
  const gathering = new Gathering();
  gathering.add(piece("1.1", "half"));
  gathering.add(piece("1.2", "oh\n", "stderr"));
  gathering.add(piece("1.3", "other\n"));
  expect(texts(gathering)).toEqual(["half", "oh", "other"]);
});

test("only so many lines are kept, and their keys stay theirs", () => {
  const gathering = new Gathering();
  for (let at = 1; at <= LINES_MAX * 1.25 + 1; at++) gathering.add(piece(`1.${at}`, `${at}\n`));
  const { lines, dropped } = gathering.settle(false);
  expect(lines.length).toBe(LINES_MAX);
  expect(lines[0]!.key).toBe(dropped);
  expect(lines[0]!.text).toBe(String(dropped + 1));
});

test("a line is shown without terminal commands, invisible or turning characters, and not without end", () => {
  expect(inert("\u001b[31mred\u001b[0m \u001b]0;title\u0007plain\r")).toBe("red plain");
  expect(inert("a\u0000b\u202ec")).toBe("a␀b\ufffdc");
  expect(inert("a\u200bb\ufeff")).toBe("a\ufffdb\ufffd");
  expect(inert("<img onerror=x>")).toBe("<img onerror=x>");
  const long = inert("x".repeat(1_000_000));
  expect(long.length).toBeLessThan(LINE_CHARACTERS_MAX + 40);
  expect(long).toContain("1,000,000 characters");
});

test("a line without end takes no more room than what is shown of it", () => {
  const gathering = new Gathering();
  for (let at = 1; at <= 2000; at++) gathering.add(piece(`1.${at}`, "y".repeat(1000)));
  const [line] = gathering.settle(false).lines;
  expect(line!.text.length).toBeLessThan(LINE_CHARACTERS_MAX + 40);
  expect(line!.text).toContain("2,000,000 characters");
});

test("a stream that broke goes on behind the last piece", () => {
  const gathering = new Gathering();
  expect(gathering.position).toBeNull();
  gathering.add(piece("1.7", "one\n"));
  gathering.add(piece("2.1", "two\n"));
  expect(gathering.position).toBe("2.1");
});

test("the place that a line names is found, as each runtime writes it", () => {
  expect(placeIn("ReferenceError: foo is not defined (line 2, column 5)")).toMatchObject({ line: 2, column: 5 });
  expect(placeIn('  File "task.py", line 4, in <module>')).toMatchObject({ line: 4, column: 1 });
  expect(placeIn("    at module.exports (task.js:12:3)")).toMatchObject({ line: 12, column: 3 });
  expect(placeIn("    at f (file:///main.js:1:9)")).toMatchObject({ line: 1, column: 9 });
  expect(placeIn('  File "/usr/lib/python3/json.py", line 4')).toBeNull();
  expect(placeIn("12:30 nothing")).toBeNull();
});
