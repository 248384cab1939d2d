/** Where two answers differ: byte by byte, and value by value where both are JSON. */

/** From the first byte that differs up to the one behind the last. */
export interface Run {
  from: number;
  to: number;
}

/** The runs of bytes that differ at the same place; where one is longer, what the other lacks differs, too. */
export function runsOf(agreed: Uint8Array, dissent: Uint8Array): Run[] {
  const runs: Run[] = [];
  const length = Math.max(agreed.length, dissent.length);
  for (let at = 0; at < length; at++) {
    if (agreed[at] === dissent[at]) continue;
    const last = runs.at(-1);
    if (last !== undefined && last.to === at) last.to = at + 1;
    else runs.push({ from: at, to: at + 1 });
  }
  return runs;
}

/** Whether a byte lies in one of the runs, which are in order: an answer may be made to have half a million. */
export function isIn(runs: readonly Run[], at: number): boolean {
  let [low, high] = [0, runs.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (runs[middle]!.to <= at) low = middle + 1;
    else high = middle;
  }
  return low < runs.length && runs[low]!.from <= at;
}

/** One place at which two JSON values differ; `undefined` where one has nothing there. */
export interface Change {
  path: string;
  agreed: unknown;
  dissent: unknown;
}

const CHANGES_MAX = 200;

/** Where two JSON texts differ in value, at most CHANGES_MAX places; null where one of them is no JSON. */
export function changesOf(agreed: Uint8Array, dissent: Uint8Array): Change[] | null {
  try {
    const [one, other] = [agreed, dissent].map((bytes) =>
      JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)),
    );
    const found: Change[] = [];
    walk(one, other, "", found);
    return found;
  } catch {
    return null; // What is no JSON is compared by its bytes.
  }
}

function walk(agreed: unknown, dissent: unknown, path: string, found: Change[]): void {
  if (found.length >= CHANGES_MAX || Object.is(agreed, dissent)) return;
  if (isBranch(agreed) && isBranch(dissent) && Array.isArray(agreed) === Array.isArray(dissent)) {
    for (const key of new Set([...Object.keys(agreed), ...Object.keys(dissent)])) {
      walk(own(agreed, key), own(dissent, key), `${path}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`, found);
    }
    return;
  }
  found.push({ path, agreed, dissent });
}

/** A member that is the value's own: any object has a `constructor` otherwise. */
function own(value: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(value, key) ? value[key] : undefined;
}

function isBranch(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
