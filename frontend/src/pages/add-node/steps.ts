/** How far a machine is on its way to being a node, as steps in words. */
import type { NodeView } from "../../api/client";
import { count, many } from "../../ui/words";

/** `at` is when the server says that it happened; null where it does not say. */
export interface Step {
  key: "called" | "named" | "found" | "checked" | "ready";
  says: string;
  is: "done" | "now" | "next";
  at: string | null;
}

export interface TokenState {
  state: string;
  nodeId: string | null;
  usedAt: string | null;
  usedFrom: string | null;
}

/** Where there is work for it at once, a node is measured later: nobody waits for that so long. */
const CHECK_MS = 15_000;

/** The steps; `connectedMs` is how long this page has seen the agent connected. */
export function stepsOf(token: TokenState | undefined, node: NodeView | undefined, connectedMs: number): Step[] {
  const used = token?.state === "used";
  const connected = node !== undefined && node.seenAt !== null && node.status !== "offline";
  const measured = node?.measuredAt ?? null;
  const late = connectedMs > CHECK_MS;
  const name = node?.nodeId ?? token?.nodeId ?? "";
  const checking = `Running its first check, a known task (${(connectedMs / 1000).toFixed(1)} s of about 5 s)`;
  const steps: [Step["key"], string, boolean, string | null][] = [
    ["called", used ? `Called in from ${token.usedFrom ?? "somewhere"}` : "Calls in", used, token?.usedAt ?? null],
    [
      "named",
      connected
        ? `Named ${name}, agent ${node.specs.version}`
        : used
          ? `Named ${name}; its agent starts`
          : "Gets its name",
      connected,
      null,
    ],
    ["found", connected ? `Found ${foundOf(node)}` : "Says what it has", connected, null],
    [
      "checked",
      checkedOf(node, measured, connected, late, checking),
      measured !== null || (connected && late),
      measured,
    ],
    ["ready", "Ready for work", connected && (measured !== null || late) && node.status === "online", null],
  ];
  const first = steps.findIndex(([, , done]) => !done);
  return steps.map(([key, says, done, at], place) => ({
    key,
    says,
    is: done ? "done" : place === first && (used || place === 0) ? "now" : "next",
    at,
  }));
}

function checkedOf(
  node: NodeView | undefined,
  measured: string | null,
  connected: boolean,
  late: boolean,
  checking: string,
): string {
  if (node !== undefined && measured !== null) {
    return (node.speed ?? 0) > 0
      ? `Passed its first check: ${count(Math.round(node.speed ?? 0))} thousand hash rounds a second on one core`
      : "Its first check found a speed that cannot be: it counts as the slowest";
  }
  if (connected) return late ? "Has work already: its speed is measured when it is idle" : checking;
  return "Runs its first check, a known task";
}

/** "16 cores, 62.7 GiB, no GPU; isolate, wasm, native". */
function foundOf({ specs }: NodeView): string {
  const gpu = specs.gpus.length === 0 ? "no GPU" : specs.gpus.join(", ");
  const runtimes = Object.keys(specs.runtimes).sort().join(", ") || "no runtime";
  return `${many(specs.cores, "core")}, ${specs.ram.toFixed(1)} GiB, ${gpu}; ${runtimes}`;
}

/** What is left of a time, as a clock shows it: "14:52". */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** Whether an address is one that only its own machine can reach. */
export function isOwnMachine(command: string): boolean {
  return /https?:\/\/(localhost|127\.\d+\.\d+\.\d+|\[::1\])[:/ ]/.test(`${command} `);
}
