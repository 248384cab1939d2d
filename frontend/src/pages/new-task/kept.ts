/** Whether what a browser has kept is a draft of a task. */
import { type Draft, drafted, type Language } from "./draft";

const LANGUAGES: readonly unknown[] = ["javascript", "python", "wasm", "command"] satisfies Language[];
const PLAIN: Readonly<Record<string, unknown>> = { ...drafted({}) };

/** Whether every field has what it may: a page that broke on what its browser kept would stay broken. */
export function isDraft(found: unknown): found is Partial<Draft> {
  if (!isObject(found)) return false;
  const { kept = {}, ...fields } = found;
  return (
    LANGUAGES.includes(fields.language ?? "javascript") &&
    Object.entries(fields).every(([name, value]) => typeof value === typeof PLAIN[name]) &&
    isObject(kept) &&
    Object.values(kept).every(isObject)
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
