/** A workflow while it is being built: the graph, its text, and where its boxes stand. All functions are pure. */

/** A step as the API takes it; fields that are not edited here stay as they are. */
export interface StepDraft {
  id: string;
  name?: string;
  type?: string;
  payload?: Record<string, unknown>;
  dependencies?: string[];
  softDependencies?: string[];
  items?: unknown[] | { step: string; pointer?: string };
  [other: string]: unknown;
}

export interface GraphDraft {
  name?: string;
  steps: StepDraft[];
  [other: string]: unknown;
}

export interface Place {
  x: number;
  y: number;
}
export type Places = Readonly<Record<string, Place>>;

/** What is being built. `wrong` says why `text` is no graph; `graph` is then the last one it was. Text that is not JSON
 * may be YAML: it is `unread` until the server has said what it means. */
export interface Draft {
  text: string;
  graph: GraphDraft;
  wrong: string | null;
  unread?: boolean;
  places: Places;
}

export const EMPTY: GraphDraft = { name: "workflow", steps: [] };

/** The text of a graph. */
export function print(graph: GraphDraft): string {
  return JSON.stringify(graph, null, 2);
}

/** A draft of this graph. */
export function draftOf(graph: GraphDraft, places: Places = {}): Draft {
  return { text: print(graph), graph, wrong: null, places };
}

/** Whether a text is to be read as YAML: JSON begins with a bracket, and nobody begins YAML with one. */
export function isYaml(text: string): boolean {
  return /^\s*[^\s{["]/.test(text);
}

/** The graph that a text means, or why it means none. */
export function read(text: string): { graph: GraphDraft } | { wrong: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { wrong: `This is no JSON${whereOf(text, String(error))}.` };
  }
  return graphOf(value);
}

/** The graph that a value means, or why it means none. */
function graphOf(value: unknown): { graph: GraphDraft } | { wrong: string } {
  if (!isObject(value)) return { wrong: "A workflow is an object: { “name”: …, “steps”: […] }." };
  const { tasks, ...rest } = value;
  const steps = rest.steps ?? tasks ?? [];
  if (!Array.isArray(steps)) return { wrong: "“steps” is a list of steps." };
  for (const [at, step] of steps.entries()) {
    if (!isObject(step) || typeof step.id !== "string") return { wrong: `Step ${at + 1} has no “id”, a text.` };
    for (const word of ["dependencies", "softDependencies"]) {
      const names = step[word] ?? [];
      if (!Array.isArray(names) || names.some((name) => typeof name !== "string")) {
        return { wrong: `“${word}” of step “${step.id}” is a list of names of steps.` };
      }
    }
    if (step.payload !== undefined && step.payload !== null && !isObject(step.payload)) {
      return { wrong: `“payload” of step “${step.id}” is an object.` };
    }
  }
  return { graph: { ...rest, steps: steps as StepDraft[] } };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Where the text breaks off, as far as the browser says so. */
function whereOf(text: string, said: string): string {
  const line = /line (\d+)/.exec(said)?.[1];
  if (line !== undefined) return `, line ${line}`;
  const place = /position (\d+)/.exec(said)?.[1];
  return place === undefined ? "" : `, line ${text.slice(0, Number(place)).split("\n").length}`;
}

/** Another text: the graph follows it where it is one. */
export function withText(draft: Draft, text: string): Draft {
  if (isYaml(text)) return { ...draft, text, wrong: "The YAML is being read.", unread: true };
  return understood({ ...draft, text, unread: false }, read(text));
}

/** What the server says a text of YAML means, or why it means nothing; too late where the text is another one by now. */
export function withYaml(draft: Draft, text: string, told: { value: unknown } | { wrong: string }): Draft {
  if (draft.text !== text) return draft;
  return understood({ ...draft, unread: false }, "wrong" in told ? told : graphOf(told.value));
}

function understood(draft: Draft, found: { graph: GraphDraft } | { wrong: string }): Draft {
  return "wrong" in found ? { ...draft, wrong: found.wrong } : { ...draft, wrong: null, graph: found.graph };
}

/** Another graph: the text follows it. */
export function withGraph(draft: Draft, graph: GraphDraft): Draft {
  return { ...draft, graph, text: print(graph), wrong: null, unread: false };
}

/** What a step waits for, of both kinds; who makes its list is waited for by being named. */
export function waitsFor(step: StepDraft): string[] {
  const names = [...(step.dependencies ?? []), ...(step.softDependencies ?? [])];
  const source = sourceOf(step);
  return source === null || names.includes(source) ? names : [...names, source];
}

/** A step in the place of another; who waits for it goes on doing so under a new name. */
export function replaced(graph: GraphDraft, at: number, step: StepDraft): GraphDraft {
  const old = graph.steps[at]?.id;
  const isOnly = graph.steps.filter((one) => one.id === old).length === 1;
  const steps = graph.steps.map((one, number) => {
    if (number === at) return step;
    return old !== undefined && old !== step.id && isOnly ? renamed(one, old, step.id) : one;
  });
  return { ...graph, steps };
}

function renamed(step: StepDraft, old: string, name: string): StepDraft {
  if (!waitsFor(step).includes(old) && sourceOf(step) !== old) return step;
  const swap = (names: string[]) => names.map((one) => (one === old ? name : one));
  return {
    ...step,
    ...(step.dependencies && { dependencies: swap(step.dependencies) }),
    ...(step.softDependencies && { softDependencies: swap(step.softDependencies) }),
    ...(sourceOf(step) === old && { items: { ...(step.items as { step: string }), step: name } }),
  };
}

/** The step that makes the list of a parallel one; null where the list is written down. */
export function sourceOf(step: StepDraft): string | null {
  return isObject(step.items) && typeof step.items.step === "string" ? step.items.step : null;
}

export function added(graph: GraphDraft, step: StepDraft): GraphDraft {
  return { ...graph, steps: [...graph.steps, step] };
}

/** Without a step, and without anybody waiting for it. */
export function removed(graph: GraphDraft, at: number): GraphDraft {
  const gone = graph.steps[at]?.id;
  const left = graph.steps.filter((_, number) => number !== at);
  if (gone === undefined || left.some((step) => step.id === gone)) return { ...graph, steps: left };
  return { ...graph, steps: left.map((step) => without(step, gone)) };
}

function without(step: StepDraft, name: string): StepDraft {
  if (!waitsFor(step).includes(name)) return step;
  const left = (names: string[]) => names.filter((one) => one !== name);
  return {
    ...step,
    ...(step.dependencies && { dependencies: left(step.dependencies) }),
    ...(step.softDependencies && { softDependencies: left(step.softDependencies) }),
  };
}

/** With one step waiting for another, or no longer where it does. */
export function connected(graph: GraphDraft, from: string, to: string, wanted: boolean): GraphDraft {
  const steps = graph.steps.map((step) => {
    if (step.id !== to) return step;
    const rest = without(step, from);
    return wanted ? { ...rest, dependencies: [...(rest.dependencies ?? []), from] } : rest;
  });
  return { ...graph, steps };
}

/** A name that no step has yet. */
export function freeName(graph: GraphDraft): string {
  const names = new Set(graph.steps.map((step) => step.id));
  for (let number = graph.steps.length + 1; ; number++) {
    if (!names.has(`step_${number}`)) return `step_${number}`;
  }
}
