/** What a step can run, in words, and how that is said to the API. */
import type { StepDraft } from "./draft";

export const KINDS = [
  {
    key: "isolate",
    word: "JavaScript, no network, no files (isolate)",
    says: "isolate",
    fields: { runtime: "isolate" },
    example: "return inputs.fetch.length",
  },
  {
    key: "python",
    word: "Python, no network (python)",
    says: "python",
    fields: { runtime: "python" },
    example: "result = len(inputs['fetch'])",
  },
  {
    key: "native-js",
    word: "JavaScript with npm packages (native)",
    says: "native, JavaScript",
    fields: { runtime: "native", language: "javascript" },
    example: "return inputs.fetch.length",
  },
  {
    key: "native-py",
    word: "Python with pip packages (native)",
    says: "native, Python",
    fields: { runtime: "native", language: "python" },
    example: "result = len(inputs['fetch'])",
  },
  { key: "none", word: "nothing: it passes on what it is given", says: "passes on", fields: {}, example: "" },
] as const;

export type Kind = (typeof KINDS)[number]["key"] | "other";

/** What a step runs; "other" is what only its JSON can say. */
export function kindOf({ type, payload }: StepDraft): Kind {
  if (type !== undefined && type !== "script" && type !== "parallel") return "other";
  if (payload === undefined || payload === null) return "none";
  if (typeof payload.sourceCode !== "string") return "other";
  const { runtime = payload.language === "python" ? "native" : "isolate", language = null } = payload;
  if (runtime === "isolate" || runtime === "isolated-vm") return "isolate";
  if (runtime === "python") return "python";
  if (runtime === "native") return language === "python" ? "native-py" : "native-js";
  return "other";
}

/** A few words for the box of a step. */
export function saysOf(step: StepDraft): string {
  const runs = KINDS.find((one) => one.key === kindOf(step))?.says ?? String(step.payload?.runtime ?? step.type ?? "");
  return step.items === undefined || step.items === null ? runs : `${runs}, per item`;
}

interface Filled {
  id: string;
  kind: Kind;
  code: string;
  after: readonly string[];
  items: StepDraft["items"] | null;
}

/** The step that a form was filled in for; what the form does not show stays. */
export function stepOf(before: StepDraft, { id, kind, code, after, items }: Filled): StepDraft {
  const { payload, items: _, type, dependencies = [], softDependencies = [], ...rest } = before;
  const soft = softDependencies.filter((name) => after.includes(name));
  const hard = [
    ...dependencies.filter((name) => after.includes(name)),
    ...after.filter((name) => !dependencies.includes(name) && !soft.includes(name)),
  ];
  const { runtime: _runtime, language: _language, ...kept } = payload ?? {};
  const runs =
    kind === "other" ? payload : { ...kept, ...KINDS.find((one) => one.key === kind)!.fields, sourceCode: code };
  const often = kind === "none" ? null : items;
  const plain = type === "parallel" ? undefined : type;
  return {
    ...rest,
    id,
    ...(often ? { type: "parallel", items: often } : plain && { type: plain }),
    ...(hard.length > 0 && { dependencies: hard }),
    ...(soft.length > 0 && { softDependencies: soft }),
    ...(kind !== "none" && runs !== undefined && { payload: runs }),
  };
}
