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

const OTHER_NAMES = new Map<string, Field>([
  ["status", "state"],
  ["dag", "run"],
  ["workflow", "run"],
]);
const OTHER_STATES = new Map([
  ["done", "succeeded"],
  ["leased", "running"],
  ["started", "running"],
]);
export const EXAMPLE = "state:failed label:render name:part runtime:wasm node:REX-A1B2C3 age:<1h";
const UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
const AGE = /^([<>]?)(\d{1,6})([smhdw])$/;
const DAY = /^\d{4}-\d\d-\d\d$/;

/** What was not understood, and what would be. */
export interface Wrong {
  message: string;
  hint: string;
}

/** The filter that was meant, and what was not understood (null: all of it was). */
export function readFilter(text: string): { filter: Filter; wrong: Wrong | null } {
  const filter: Filter = {};
  const bare: string[] = [];
  for (const [word, written, value] of wordsOf(text)) {
    if (written === "") {
      bare.push(value);
      continue;
    }
    const field = OTHER_NAMES.get(written) ?? FIELDS.find((one) => one === written);
    const wrong = field === undefined ? unknown(word, written) : faultIn(field, value, filter);
    if (wrong !== null) return { filter, wrong };
    if (field !== undefined) filter[field] = field === "state" ? (OTHER_STATES.get(value) ?? value) : value;
  }
  if (bare.length > 0 && filter.name !== undefined) {
    const message = `A name is asked for twice: “${filter.name}” and “${bare.join(" ")}”.`;
    return { filter, wrong: { message, hint: 'A name with spaces goes in quotes: name:"a b".' } };
  }
  if (bare.length > 0) filter.name = bare.join(" ");
  return { filter, wrong: null };
}

function unknown(word: string, written: string): Wrong {
  const fields = FIELDS.map((one) => `${one}:`).join(" ");
  return {
    message: `“${word}” is not understood: there is no “${written}:”.`,
    hint: `There are ${fields} and words without any of these, which are looked for in names. A name with a colon goes in quotes.`,
  };
}

function faultIn(field: Field, value: string, filter: Filter): Wrong | null {
  if (value === "")
    return { message: `“${field}:” says nothing.`, hint: "Write what is looked for right behind the colon." };
  if (filter[field] !== undefined) {
    return {
      message: `“${field}:” is written twice.`,
      hint: "Tasks have to fit all of what is written: leave one out.",
    };
  }
  if (field === "state") {
    const all: string[] = [...STATES, ...RARE_STATES];
    if (all.includes(OTHER_STATES.get(value) ?? value)) return null;
    return { message: `There is no state “${value}”.`, hint: `There are: ${all.join(", ")}.` };
  }
  if (field === "age" && !AGE.test(value)) {
    return { message: `“age:${value}” is no age.`, hint: "Write age:<1h, age:<30m or age:>2d." };
  }
  if ((field === "since" || field === "until") && Number.isNaN(Date.parse(value))) {
    return {
      message: `“${field}:${value}” is no time.`,
      hint: `Write ${field}:2026-01-31 or ${field}:2026-01-31T18:00.`,
    };
  }
  if (field === "run" && !/^dag_[0-9a-z]{13}$/.test(value)) {
    return { message: `“run:${value}” is no run of a workflow.`, hint: "Its id looks like dag_ and thirteen letters." };
  }
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
    return value.startsWith(">") ? `older than ${value.slice(1)}` : `not older than ${value.replace("<", "")}`;
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
