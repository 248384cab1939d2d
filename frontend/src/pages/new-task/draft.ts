/** What somebody is writing: a task as a form has it, every field a text, and what the form does not show. */
import type { TaskView } from "../../api/client";

export type Language = "javascript" | "python" | "wasm" | "command";

/** `kept` is what a task that is run again had and the form has no field for. */
export interface Draft {
  name: string;
  language: Language;
  runtime: string;
  javascript: string;
  python: string;
  command: string;
  /** A WebAssembly module: `sha256:…` of an upload, or base64. */
  module: string;
  moduleName: string;
  function: string;
  args: string;
  packages: string;
  network: boolean;
  input: string;
  copies: string;
  sameOwner: boolean;
  memory: string;
  timeout: string;
  tries: string;
  cores: string;
  ram: string;
  gpu: boolean;
  labels: string;
  where: string;
  kept: Kept;
}

export interface Kept {
  payload?: Record<string, unknown>;
  limits?: Record<string, unknown>;
  retry?: Record<string, unknown>;
  task?: Record<string, unknown>;
}

const EMPTY: Draft = {
  name: "",
  language: "javascript",
  runtime: "isolate",
  javascript: "",
  python: "",
  command: "",
  module: "",
  moduleName: "",
  function: "",
  args: "",
  packages: "",
  network: false,
  input: "",
  copies: "1",
  sameOwner: false,
  memory: "",
  timeout: "",
  tries: "",
  cores: "",
  ram: "",
  gpu: false,
  labels: "",
  where: "",
  kept: {},
};

/** A draft with these fields, and the others as they are at first. */
export function drafted(fields: Partial<Draft>): Draft {
  return { ...EMPTY, ...fields };
}

const PAYLOAD_FIELDS = new Set([
  "sourceCode",
  "module",
  "command",
  "language",
  "runtime",
  "dependencies",
  "function",
  "args",
  "network",
  "input",
]);
const without = (all: object, fields: ReadonlySet<string>) =>
  Object.fromEntries(Object.entries(all).filter(([name, value]) => !fields.has(name) && value !== null));

/** A task that was run as a draft of the same; what is at its default the server leaves out. */
export function draftOf(task: TaskView): Draft {
  const payload: Partial<NonNullable<TaskView["payload"]>> = task.payload ?? {};
  const wants: Partial<TaskView["requirements"]> = task.requirements;
  const limits: Partial<TaskView["limits"]> = task.limits;
  const retry: Partial<TaskView["retry"]> = task.retry;
  const language = languageOf(task);
  const check = checkOf(task.verify);
  return drafted({
    name: task.name,
    language,
    runtime: task.runtime,
    ...(language === "javascript" || language === "python" ? { [language]: payload.sourceCode ?? "" } : {}),
    command: (payload.command ?? []).map(quoted).join(" "),
    module: payload.module ?? "",
    moduleName: payload.module ? "the module of the task before" : "",
    function: payload.function ?? "",
    args: (payload.args ?? []).map((one) => quoted(typeof one === "string" ? one : JSON.stringify(one))).join(" "),
    packages: (payload.dependencies ?? []).join(" "),
    network: payload.network ?? false,
    input: payload.input === undefined || payload.input === null ? "" : JSON.stringify(payload.input, null, 2),
    copies: check.copies,
    sameOwner: check.sameOwner,
    memory: textOf(limits.memoryMb),
    timeout: textOf(limits.timeoutSeconds),
    tries: textOf(retry.attempts),
    cores: textOf(wants.minCores),
    ram: textOf(wants.minRam),
    gpu: wants.gpuRequired ?? false,
    labels: (wants.labels ?? []).join(", "),
    where: wants.expression ?? "",
    kept: {
      payload: without(payload, PAYLOAD_FIELDS),
      limits: without(limits, new Set(["memoryMb", "timeoutSeconds"])),
      retry: without(retry, new Set(["attempts"])),
      task: {
        ...(task.priority === 0 ? {} : { priority: task.priority }),
        ...(task.labels.length === 0 ? {} : { labels: task.labels }),
        ...(check.copies === "kept" ? { verify: task.verify } : {}),
      },
    },
  });
}

function languageOf(task: TaskView): Language {
  if (task.runtime === "wasm") return "wasm";
  if (task.payload?.command) return "command";
  return task.runtime === "python" || task.payload?.language === "python" ? "python" : "javascript";
}

/** On how many nodes it was checked, where that is one of the form's choices; else it is kept as it was. */
function checkOf(verify: TaskView["verify"]): { copies: string; sameOwner: boolean } {
  if (verify === "none") return { copies: "1", sameOwner: false };
  if (verify === "quorum") return { copies: "3", sameOwner: false };
  if (verify === "adaptive") return { copies: "kept", sameOwner: false };
  const { policy = "quorum", copies = 3, agree = 2, sameOwner = false, ...more }: Partial<typeof verify> = verify;
  if (policy === "none") return { copies: "1", sameOwner: false };
  const plain = policy === "quorum" && agree === majority(copies) && Object.keys(more).length === 0;
  return { copies: plain && [2, 3, 5].includes(copies) ? String(copies) : "kept", sameOwner };
}

/** How many of so many have to agree. */
export function majority(copies: number): number {
  return Math.floor(copies / 2) + 1;
}

function textOf(value: number | null | undefined): string {
  return value === null || value === undefined || value === 0 ? "" : String(value);
}

/** A word of a command line as one writes it. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The words of a command line, as a shell would part them. */
export function words(text: string): string[] {
  const found = text.match(/(?:'[^']*'|"[^"]*"|\\.|[^\s'"\\])+/g) ?? [];
  return found.map((word) =>
    word.replace(
      /'([^']*)'|"([^"]*)"|\\(.)/g,
      (_, one?: string, two?: string, three?: string) => one ?? two ?? three ?? "",
    ),
  );
}
