/** Workflows to begin with. */
import type { GraphDraft } from "./draft";

const code = (...lines: string[]) => ({ runtime: "isolate", sourceCode: lines.join("\n") });

export const EXAMPLES: readonly { word: string; graph: GraphDraft }[] = [
  {
    word: "Four tasks: fetch, process twice, aggregate",
    graph: {
      name: "data-pipeline",
      steps: [
        { id: "fetch", payload: code("return Array.from({ length: 1000 }, (_, n) => n)") },
        {
          id: "process_1",
          dependencies: ["fetch"],
          payload: code("return inputs.fetch.filter(n => n % 2 === 0).length"),
        },
        { id: "process_2", dependencies: ["fetch"], payload: code("return inputs.fetch.reduce((a, b) => a + b, 0)") },
        {
          id: "aggregate",
          dependencies: ["process_1", "process_2"],
          payload: code("return { even: inputs.process_1, sum: inputs.process_2 }"),
        },
      ],
    },
  },
  {
    word: "A list, each of its items at once, a sum",
    graph: {
      name: "squares",
      steps: [
        { id: "numbers", payload: code("return [1, 2, 3, 4, 5, 6, 7, 8]") },
        { id: "squares", type: "parallel", items: { step: "numbers" }, payload: code("return input * input") },
        {
          id: "sum",
          dependencies: ["squares"],
          payload: code("return inputs.squares.reduce((a, b) => a + b, 0)"),
        },
      ],
    },
  },
];
