/** Finds the place in its own source that a line of a task's output names, as its runtimes write it. */

/** `from` and `to` are where in the text it stands; line and column count from 1. */
export interface Place {
  from: number;
  to: number;
  line: number;
  column: number;
}

/** What the runtimes call the source that was sent. */
const PLACES = [
  /\b(?:main|task)\.m?js:(\d{1,7})(?::(\d{1,7}))?/,
  /\bFile "(?:[^"]*\/)?task\.py", line (\d{1,7})/,
  /\(line (\d{1,7})(?:, column (\d{1,7}))?\)/,
];

/** The first place that a text names; null where it names none. */
export function placeIn(text: string): Place | null {
  for (const pattern of PLACES) {
    const found = pattern.exec(text);
    if (found !== null) {
      const [all, line, column] = found;
      return { from: found.index, to: found.index + all.length, line: Number(line), column: Number(column ?? 1) };
    }
  }
  return null;
}
