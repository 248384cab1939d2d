/** Tasks to begin with: each of them runs as it is. */
import type { Draft, Language } from "./draft";

interface Example {
  word: string;
  draft: Partial<Draft>;
}

const PRIMES_JS = `// Finds the primes of a range. What is returned is the result; what is printed is shown as it comes.
const { from, to } = input;
const isPrime = (n) => {
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
  return n > 1;
};
const found = [];
for (let n = from; n < to; n++) if (isPrime(n)) found.push(n);
console.log("primes", found.length);
return { count: found.length, largest: found.at(-1) };
`;

const PRIMES_PY = `"""Counts the primes below its input by a sieve."""


def main(below):
    prime = bytearray([0, 0]) + bytearray([1]) * (below - 2)
    for n in range(2, int(below**0.5) + 1):
        if prime[n]:
            prime[n * n :: n] = bytes(len(range(n * n, below, n)))
    print(prime.count(1), "primes below", below)
    return {"count": prime.count(1), "largest": prime.rfind(1)}
`;

const SLOW_JS = `// Works for ten seconds, and says how far it is.
const steps = input ?? 20;
for (let step = 1; step <= steps; step++) {
  await new Promise((go) => setTimeout(go, 500));
  anchor.progress(step / steps, \`block \${step} of \${steps}\`);
  console.log(\`block \${step}/\${steps} ok\`);
}
return steps;
`;

const FLAKY_JS = `// Fails on its first two attempts and succeeds on its third: what a flaky machine looks like from inside.
console.log(\`attempt \${anchor.attempt}\`);
if (anchor.attempt < 3) throw new Error(\`not yet (attempt \${anchor.attempt})\`);
return \`it took \${anchor.attempt} attempts\`;
`;

export const EXAMPLES: readonly Example[] = [
  {
    word: "Primes, in JavaScript",
    draft: { name: "prime-finder", javascript: PRIMES_JS, input: '{ "from": 2, "to": 100000 }' },
  },
  {
    word: "Primes, in Python",
    draft: { name: "prime-sieve", language: "python", runtime: "native", python: PRIMES_PY, input: "1000000" },
  },
  { word: "Ten seconds of work, with its progress", draft: { name: "ten-seconds", javascript: SLOW_JS, input: "20" } },
  { word: "Works at the third try", draft: { name: "third-time-lucky", javascript: FLAKY_JS, tries: "3" } },
  {
    word: "A command",
    draft: { name: "where-am-i", language: "command", runtime: "native", command: "uname -a" },
  },
];

/** The one to begin with in a language. */
export function exampleOf(language: Language): Example | undefined {
  return EXAMPLES.find((one) => (one.draft.language ?? "javascript") === language);
}

/** Whether nothing was changed yet in the one of its language. */
export function isExample(draft: Draft): boolean {
  const fields = Object.entries(exampleOf(draft.language)?.draft ?? { language: null });
  return fields.every(([name, value]) => draft[name as keyof Draft] === value);
}
