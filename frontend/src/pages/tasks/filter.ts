/** What is typed to find tasks, read: `state:failed label:render age:<1h part of a name`. */
import { lookOf } from "../../ui/states";

/** States that always have a count to choose them by, in the order of a task's life. */
export const STATES = ["queued", "running", "backoff", "succeeded", "failed", "cancelled"] as const;

/** States that have one while any task is in them. */
export const RARE_STATES = ["waiting", "verifying", "cancelling", "inconclusive"] as const;

const FIELDS = ["state", "label", "name", "runtime", "owner", "node", "run", "age", "since", "until"] as const;
type Field = (typeof FIELDS)[number];

/** What was written, by field; a field that was not written is not there. */
export type Filter = Partial<Record<Field, string>>;

/** What the server is asked for. */
export type Asked = Partial<Record<Exclude<Field, "age">, string>>;

const OTHER_NAMES: Record<string, Field> = { status: "state", dag: "run", workflow: "run" };
const OTHER_STATES: Record<string, string> = { done: "succeeded", leased: "running", started: "running" };
const EXAMPLE = "state:failed label:render name:part runtime:wasm node:REX-A1B2C3 age:<1h";
const UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
const AGE = /^([<>]?)(\d{1,6})([smhdw])$/;
const DAY = /^\d{4}-\d\d-\d\d$/;

/** The filter that was meant, and a sentence on what was not understood (null: all of it was). */
export function readFilter(text: string): { filter: Filter; wrong: string | null } {
  const filter: Filter = {};
  const bare: string[] = [];
  for (const [word, written, value] of wordsOf(text)) {
    if (written === "") {
      bare.push(value);
      continue;
    }
    const field = OTHER_NAMES[written] ?? FIELDS.find((one) => one === written);
    const wrong = field === undefined ? unknown(word, written) : faultIn(field, value, filter);
    if (wrong !== null) return { filter, wrong };
    if (field !== undefined) filter[field] = field === "state" ? (OTHER_STATES[value] ?? value) : value;
  }
  if (bare.length > 0 && filter.name !== undefined) {
    return { filter, wrong: `A name is asked for twice: “${filter.name}” and “${bare.join(" ")}”.` };
  }
  if (bare.length > 0) filter.name = bare.join(" ");
  return { filter, wrong: null };
}

function unknown(word: string, written: string): string {
  return `“${word}” is not understood: there is no “${written}:”. There are ${FIELDS.map((one) => `${one}:`).join(" ")}. A name with a colon goes in quotes. For example: ${EXAMPLE}`;
}

function faultIn(field: Field, value: string, filter: Filter): string | null {
  if (value === "") return `“${field}:” says nothing: write what comes after it, as in ${EXAMPLE}`;
  if (filter[field] !== undefined) return `“${field}:” is written twice; tasks have to fit all of what is written.`;
  if (field === "state") {
    const all: string[] = [...STATES, ...RARE_STATES];
    const state = OTHER_STATES[value] ?? value;
    return all.includes(state) ? null : `There is no state “${value}”. There are: ${all.join(", ")}.`;
  }
  if (field === "age" && !AGE.test(value)) return `“age:${value}” is no age. Write age:<1h, age:<30m or age:>2d.`;
  if ((field === "since" || field === "until") && Number.isNaN(Date.parse(value))) {
    return `“${field}:${value}” is no time. Write ${field}:2026-01-31 or ${field}:2026-01-31T18:00.`;
  }
  if (field === "run" && !/^dag_[0-9a-z]{13}$/.test(value))
    return `“run:${value}” is no run. Its id looks like dag_01….`;
  return null;
}

/** Words as they were written, with their field and value; quotes keep spaces and colons together. */
function wordsOf(text: string): [word: string, field: string, value: string][] {
  const found = text.matchAll(/([A-Za-z]+):(?=\s|$)|(?:([A-Za-z]+):)?(?:"((?:[^"\\]|\\.)*)"|(\S+))/g);
  return [...found].map(([word, empty, field, quoted, plain]) => {
    const value = quoted === undefined ? (plain ?? "") : quoted.replace(/\\(.)/g, "$1");
    return [word, (field ?? empty ?? "").toLowerCase(), value];
  });
}

/** The text of a filter. */
export function textOf(filter: Filter): string {
  return FIELDS.flatMap((field) => {
    const value = filter[field];
    if (value === undefined) return [];
    return [`${field}:${/[\s"\\]/.test(value) ? `"${value.replace(/["\\]/g, "\\$&")}"` : value}`];
  }).join(" ");
}

/** A part of a filter in words, for people. */
export function saidOf(field: string, value: string): string {
  if (field === "state") return lookOf(value).word;
  if (field === "name") return `“${value}” in the name`;
  if (field === "age")
    return value.startsWith(">") ? `older than ${value.slice(1)}` : `of the last ${value.replace("<", "")}`;
  return `${field} ${value}`;
}

/** The same as the server understands it: an age counts from `now`, a time without a zone is one of here. */
export function askedOf(filter: Filter, now: number): Asked {
  const { age, since, until, ...asked }: Filter = filter;
  const bounds: Asked = {};
  if (since !== undefined) bounds.since = new Date(DAY.test(since) ? `${since}T00:00` : since).toISOString();
  if (until !== undefined) bounds.until = new Date(DAY.test(until) ? `${until}T23:59:59.999` : until).toISOString();
  const read = age === undefined ? null : AGE.exec(age);
  if (read !== null) {
    const moment = String(now - Number(read[2]) * UNITS[read[3]!]!);
    if (read[1] === ">") bounds.until ??= moment;
    else bounds.since ??= moment;
  }
  return { ...asked, ...bounds };
}
