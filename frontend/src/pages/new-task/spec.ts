/** From a draft to what the API takes, and what of it cannot be meant. */
import { type Draft, majority, words } from "./draft";

export interface Fault {
  /** A JSON pointer into the task. */
  pointer: string;
  message: string;
}

export interface Spec {
  name: string;
  type: "script" | "wasm";
  payload: Record<string, unknown>;
  requirements?: Record<string, unknown>;
  limits?: Record<string, unknown>;
  retry?: Record<string, unknown>;
  verify?: unknown;
  [more: string]: unknown;
}

/** The task that a draft means; `faults` are of what was written and is no number, or no JSON. */
export function specOf(draft: Draft): { spec: Spec; faults: Fault[] } {
  const faults: Fault[] = [];
  const number = (text: string, pointer: string): number | undefined => {
    if (text.trim() === "") return undefined;
    const value = Number(text);
    if (Number.isFinite(value)) return value;
    faults.push({ pointer, message: `“${text.trim()}” is not a number` });
    return undefined;
  };
  if (draft.name.trim() === "") faults.push({ pointer: "/name", message: "is missing; call it something" });
  const limits = filled({
    ...draft.kept.limits,
    memoryMb: number(draft.memory, "/limits/memoryMb"),
    timeoutSeconds: number(draft.timeout, "/limits/timeoutSeconds"),
  });
  const requirements = filled({
    minCores: number(draft.cores, "/requirements/minCores"),
    minRam: number(draft.ram, "/requirements/minRam"),
    gpuRequired: draft.gpu || undefined,
    labels: listed(draft.labels.split(",")),
    expression: draft.where.trim() || undefined,
  });
  const retry = filled({ ...draft.kept.retry, attempts: number(draft.tries, "/retry/attempts") });
  const verify = verifyOf(draft);
  const spec: Spec = {
    name: draft.name.trim(),
    type: draft.language === "wasm" ? "wasm" : "script",
    payload: payloadOf(draft, faults),
    ...(requirements && { requirements }),
    ...(limits && { limits }),
    ...(retry && { retry }),
    ...(verify !== undefined && { verify }),
    ...draft.kept.task,
  };
  return { spec, faults };
}

function payloadOf(draft: Draft, faults: Fault[]): Record<string, unknown> {
  const code = {
    javascript: { sourceCode: draft.javascript, language: draft.runtime === "native" ? "javascript" : undefined },
    python: { sourceCode: draft.python, language: "python" },
    wasm: { module: draft.module || undefined, function: draft.function.trim() || undefined },
    command: { command: words(draft.command) },
  }[draft.language];
  const native = draft.runtime === "native";
  const args = words(draft.args);
  return {
    ...draft.kept.payload,
    ...filled({
      ...code,
      runtime: draft.runtime,
      args: listed(draft.language === "wasm" && draft.function.trim() !== "" ? args.map(argumentOf) : args),
      dependencies: native ? listed(words(draft.packages)) : undefined,
      network: (native && draft.network) || undefined,
    }),
    ...inputOf(draft.input, faults),
  };
}

function inputOf(text: string, faults: Fault[]): { input?: unknown } {
  if (text.trim() === "") return {};
  try {
    return { input: JSON.parse(text) };
  } catch (error) {
    faults.push({ pointer: "/payload/input", message: `is not JSON: ${(error as Error).message}` });
    return {};
  }
}

function verifyOf(draft: Draft): unknown {
  const copies = Number(draft.copies);
  if (!(copies > 1)) return undefined;
  return { policy: "quorum", copies, agree: majority(copies), ...(draft.sameOwner && { sameOwner: true }) };
}

/** An argument of a function: a number where it is one that JavaScript keeps whole. */
function argumentOf(word: string): unknown {
  const value = Number(word);
  return word.trim() !== "" && Number.isFinite(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER ? value : word;
}

function listed(words: readonly unknown[]): unknown[] | undefined {
  const all = words.map((one) => (typeof one === "string" ? one.trim() : one)).filter((one) => one !== "");
  return all.length > 0 ? all : undefined;
}

/** What has a value; undefined where nothing has. */
function filled(all: Record<string, unknown>): Record<string, unknown> | undefined {
  const some = Object.entries(all).filter(([, value]) => value !== undefined);
  return some.length > 0 ? Object.fromEntries(some) : undefined;
}

/** What of a task decides which nodes fit: its code counts only in that there is some. */
export function outline(spec: Spec): Spec {
  const { input: _, sourceCode, module, ...payload } = spec.payload;
  return {
    ...spec,
    payload: {
      ...payload,
      ...(typeof sourceCode === "string" && { sourceCode: sourceCode.trim() === "" ? "" : "0" }),
      ...(typeof module === "string" && { module: module.startsWith("sha256:") ? module : module.slice(0, 8) }),
    },
  };
}
