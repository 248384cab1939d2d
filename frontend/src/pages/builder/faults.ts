/** What is wrong with a workflow, as far as can be said without the server: names, and who waits for whom. */
import { type GraphDraft, waitsFor } from "./draft";

/** `step` is the number of the step it is about; -1 where it is about the whole. */
export interface Fault {
  step: number;
  says: string;
}

const SHOWN_MAX = 12;

/** The faults, the plainest first. */
export function faultsOf(graph: GraphDraft): Fault[] {
  if (graph.steps.length === 0) return [{ step: -1, says: "There is no step yet." }];
  const number = new Map<string, number>();
  const faults: Fault[] = [];
  graph.steps.forEach(({ id }, at) => {
    if (id.trim() === "") faults.push({ step: at, says: `Step ${at + 1} has no name.` });
    const first = number.get(id);
    if (first === undefined) number.set(id, at);
    else faults.push({ step: at, says: `Two steps are called “${id}”: give one of them another name.` });
  });
  graph.steps.forEach(({ id, payload }, at) => {
    const file = payload?.sourceFile;
    if (typeof file !== "string") return;
    const says = `“${id}” takes its code from the file “${file}”, which only anchor dag run reads: put the code here, as sourceCode.`;
    faults.push({ step: at, says });
  });
  graph.steps.forEach((step, at) => {
    const seen = new Set<string>();
    for (const name of waitsFor(step)) {
      if (name === step.id) faults.push({ step: at, says: `“${step.id}” waits for itself: ${name} → ${name}.` });
      else if (!number.has(name))
        faults.push({ step: at, says: `“${step.id}” waits for “${name}”, which is no step.` });
      else if (seen.has(name)) faults.push({ step: at, says: `“${step.id}” waits for “${name}” twice.` });
      seen.add(name);
    }
  });
  if (faults.length === 0) {
    const cycle = cycleOf(graph, number);
    if (cycle !== null) {
      const names = cycle.map((at) => graph.steps[at]!.id);
      const shown = names.length > SHOWN_MAX ? [...names.slice(0, SHOWN_MAX - 2), "…", names.at(-1)!] : names;
      faults.push({ step: cycle[0]!, says: `These wait for each other: ${[...shown, names[0]].join(" → ")}.` });
    }
  }
  return faults;
}

/** The steps of a cycle, each before one that waits for it. */
function cycleOf(graph: GraphDraft, number: ReadonlyMap<string, number>): number[] | null {
  const parents = graph.steps.map((step) => waitsFor(step).map((name) => number.get(name)!));
  const children: number[][] = graph.steps.map(() => []);
  parents.forEach((names, at) => {
    for (const parent of names) children[parent]!.push(at);
  });
  const waits = parents.map((names) => names.length);
  const free = waits.flatMap((left, at) => (left === 0 ? [at] : []));
  for (const at of free) {
    for (const child of children[at]!) {
      waits[child]! -= 1;
      if (waits[child] === 0) free.push(child);
    }
  }
  if (free.length === graph.steps.length) return null;
  // Every step left waits for another one that is left: going back from any of them meets itself.
  const path = new Map<number, number>();
  let at = waits.findIndex((left) => left > 0);
  while (!path.has(at)) {
    path.set(at, path.size);
    at = parents[at]!.find((parent) => waits[parent]! > 0)!;
  }
  return [...path.keys()].slice(path.get(at)).reverse();
}
