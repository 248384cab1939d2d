/** The same task from elsewhere: as a Python program, and as a command line. */
import { type Draft, quoted } from "./draft";
import type { Spec } from "./spec";

/** A program that submits this task and prints its result. */
export function pythonOf(spec: Spec, origin: string): string {
  return `import anchor

with anchor.Client(${JSON.stringify(origin)}) as client:
    task = client.submit(${literal(spec, 1)})
    print(client.future(task.id).result())
`;
}

/** A JSON value as Python writes it. */
export function literal(value: unknown, depth = 0): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const pad = "    ".repeat(depth);
  const [open, shut] = Array.isArray(value) ? "[]" : "{}";
  const items = Array.isArray(value)
    ? value.map((one) => literal(one, depth + 1))
    : Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${literal(one, depth + 1)}`);
  if (items.length === 0) return `${open}${shut}`;
  return `${open}\n${items.map((item) => `${pad}    ${item},\n`).join("")}${pad}${shut}`;
}

const SUFFIX: Readonly<Record<string, string>> = { javascript: "js", python: "py", wasm: "wasm" };
/** What the command line has no option for. */
const UNSAID = ["files", "modules", "inputs"];

/** A command that runs this task and follows its output. */
export function commandOf(draft: Draft, spec: Spec, origin: string): string {
  const { payload } = spec;
  const limits = spec.limits ?? {};
  const wants = spec.requirements ?? {};
  const file = `${spec.name.replace(/[^\w.-]+/g, "-") || "task"}.${SUFFIX[draft.language]}`;
  const options: string[] = [];
  const option = (name: string, value: unknown) => {
    if (value === true) options.push(`--${name}`);
    else if (value !== undefined && value !== false) options.push(`--${name} ${quoted(String(value))}`);
  };
  option("name", spec.name);
  if (draft.language !== "command") option("runtime", payload.runtime);
  if ("input" in payload) option("input", JSON.stringify(payload.input));
  for (const one of (payload.dependencies as string[] | undefined) ?? []) option("dep", one);
  option("network", payload.network);
  option("function", payload.function);
  for (const one of (payload.args as unknown[] | undefined) ?? []) option("arg", one);
  for (const [name, value] of Object.entries((payload.env as object | undefined) ?? {}))
    option("env", `${name}=${value}`);
  option("stdin", payload.stdin);
  for (const one of (payload.outputs as string[] | undefined) ?? []) option("out", one);
  option("deterministic", payload.deterministic);
  option("image", payload.image);
  option("memory", limits.memoryMb);
  option("timeout", limits.timeoutSeconds);
  option("cores", wants.minCores);
  option("ram", wants.minRam);
  option("gpu", wants.gpuRequired);
  for (const one of (wants.labels as string[] | undefined) ?? []) option("on", one);
  option("where", wants.expression);
  if (spec.retry?.attempts !== undefined) option("retries", Number(spec.retry.attempts) - 1);
  const verify = spec.verify as { copies?: number; agree?: number; sameOwner?: boolean } | string | undefined;
  if (typeof verify === "string") option("verify", verify);
  else if (verify !== undefined) {
    option("verify", "quorum");
    option("copies", verify.copies);
    option("agree", verify.agree);
    option("same-owner", verify.sameOwner);
  }
  option("url", origin);
  const tail = draft.language === "command" ? ["--", ...(payload.command as string[]).map(quoted)].join(" ") : "";
  const head = draft.language === "command" ? "anchor run" : `anchor run ${quoted(moduleOr(file, draft))}`;
  const line = [head, ...options, ...(tail === "" ? [] : [tail])].join(" \\\n  ");
  const unsaid = UNSAID.filter((name) => name in payload);
  const note = unsaid.length > 0 ? `# Without its ${unsaid.join(" and ")}: use curl or Python for those.\n` : "";
  return `${note}${source(file, payload.sourceCode)}${line}\n`;
}

function moduleOr(file: string, draft: Draft): string {
  return draft.language === "wasm" && draft.moduleName.endsWith(".wasm") ? draft.moduleName : file;
}

/** A shell's way to write a file; its end is a word that no line of the source is. */
function source(file: string, text: unknown): string {
  if (typeof text !== "string") return "";
  let end = "END";
  while (text.split("\n").includes(end)) end += "_";
  return `cat > ${quoted(file)} <<'${end}'\n${text}${text.endsWith("\n") ? "" : "\n"}${end}\n`;
}
