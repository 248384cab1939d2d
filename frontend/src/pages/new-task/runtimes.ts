/** What the form offers to run in, by language, with the limits of each in words. */
import type { Language } from "./draft";

interface Runtime {
  name: string;
  says: string;
  /** What holds where nothing is said. */
  memory: number;
  timeout: number;
}

const ISOLATE: Runtime = {
  name: "isolate",
  says: "isolate has no network and sees no files of the machine; choose native if it needs npm packages.",
  memory: 128,
  timeout: 30,
};
const native = (says: string): Runtime => ({ name: "native", says, memory: 2048, timeout: 600 });

export const RUNTIMES: Readonly<Record<Language, readonly Runtime[]>> = {
  javascript: [
    ISOLATE,
    native("native is Node in a sandbox: npm packages, and the network where the node's owner allows it."),
  ],
  python: [
    native("native is the node's own Python in a sandbox: pip packages, and the network where its owner allows it."),
    {
      name: "python",
      says: "python is CPython in WebAssembly: the standard library, no packages and no network.",
      memory: 256,
      timeout: 60,
    },
  ],
  wasm: [
    {
      name: "wasm",
      says: "wasm runs a WASI preview 1 program, or one function that the module exports; it has no network.",
      memory: 256,
      timeout: 60,
    },
  ],
  command: [native("native starts a program that the node has, in a sandbox; for a shell, begin with sh -c.")],
};

export const LANGUAGES: readonly { name: Language; word: string }[] = [
  { name: "javascript", word: "JavaScript" },
  { name: "python", word: "Python" },
  { name: "wasm", word: "WebAssembly" },
  { name: "command", word: "a command" },
];

/** The runtime of this name; the first of the language where it has none of it. */
export function runtimeOf(language: Language, name: string): Runtime {
  return RUNTIMES[language].find((one) => one.name === name) ?? RUNTIMES[language][0]!;
}
