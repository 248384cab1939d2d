/** What speaks for a dissent being fraud, and what against it; all of it computed from the evidence. */
import { count, lasting } from "../../ui/words";
import type { Change } from "./diff";
import type { CaseView, Evidence, Vote } from "./evidence";

interface Reasons {
  likely: string[];
  unlikely: string[];
}

/** An answer that came so many times faster than the others is odd. */
export const MUCH_FASTER = 5;
const TRUSTED = 10;
/** Numbers that are nearer to each other than this, as a share, come from arithmetic rather than from lies. */
const NEAR = 1e-6;
const CHANCE =
  /\b(Math\.random|crypto\.(randomUUID|getRandomValues)|Date\.now|new Date\(\)|performance\.now|random\.|uuid|time\.time|datetime\.now|os\.urandom|perf_counter)/;

/** How long a node took from being given the task to its answer. */
export function tookMs(vote: Vote): number {
  return Math.max(1, Date.parse(vote.endedAt) - Date.parse(vote.leasedAt));
}

/** The reasons about one node that differed. */
export function reasonsAbout(
  view: CaseView,
  evidence: Evidence | null,
  changes: Change[] | null,
  node: string,
): Reasons {
  const likely: string[] = [];
  const unlikely: string[] = [];
  speed(view, node, likely, unlikely);
  past(view, node, likely, unlikely);
  program(view, evidence, unlikely);
  answer(view, evidence, changes, node, likely, unlikely);
  return { likely, unlikely };
}

function speed(view: CaseView, node: string, likely: string[], unlikely: string[]): void {
  const own = view.votes.find((vote) => vote.nodeId === node);
  const others = view.votes
    .filter((vote) => vote.agreed)
    .map(tookMs)
    .sort((one, other) => one - other);
  const usual = others[Math.floor(others.length / 2)];
  if (own === undefined || usual === undefined) return;
  const times = usual / tookMs(own);
  if (times >= MUCH_FASTER) likely.push(`it answered ${count(Math.round(times))} times faster than the others`);
  else if (times > 0.5 && times < 2) unlikely.push(`it took as long as the others, ${lasting(tookMs(own))}`);
}

function past(view: CaseView, node: string, likely: string[], unlikely: string[]): void {
  const voter = view.voters.find((one) => one.nodeId === node);
  if (voter === undefined) return;
  const flags = voter.flags.length;
  if (flags > 1) likely.push(`${flags} of its last ${count(flags + voter.checked)} checked answers differ`);
  else if (voter.checked >= TRUSTED)
    unlikely.push(`${count(voter.checked)} of its answers were checked and found right`);
  if (voter.checked === 0) likely.push("none of its answers has been found right yet");
  const versions = view.voters.filter((one) => !view.dissenters.includes(one.nodeId)).map((one) => one.version);
  const other = versions.find((version) => version !== "" && version !== voter.version);
  if (voter.version !== "" && other !== undefined)
    unlikely.push(`its agent is ${voter.version}, another's is ${other}`);
}

function program(view: CaseView, evidence: Evidence | null, unlikely: string[]): void {
  const found = evidence?.payload?.sourceCode?.match(CHANCE)?.[1];
  if (found !== undefined)
    unlikely.push(`the program asks for chance or the time (${found}), so that its answers may differ`);
  if (view.alike.length > 0) {
    unlikely.push(
      `${count(view.alike.length)} cases are about this program, and most of the nodes that voted differed once`,
    );
  }
}

function answer(
  view: CaseView,
  evidence: Evidence | null,
  changes: Change[] | null,
  node: string,
  likely: string[],
  unlikely: string[],
): void {
  const own = view.votes.find((vote) => vote.nodeId === node);
  const same = view.votes.filter((vote) => !vote.agreed && vote.nodeId !== node && vote.answer === own?.answer);
  if (same.length > 0) likely.push(`${same.map((vote) => vote.nodeId).join(", ")} gave the same wrong answer`);
  const reason = evidence?.testimonies.find((one) => one.nodeId === node)?.reason;
  if (reason) unlikely.push(`it failed (${reason.code}), which a broken machine does, too`);
  if (changes !== null && changes.length > 0 && changes.every(isNear)) {
    unlikely.push("only numbers differ, by less than a millionth: compare numeric would take them for the same");
  }
  if (evidence?.verify.sameOwner) unlikely.push("the nodes are of one owner, which would cheat itself");
}

function isNear({ agreed, dissent }: Change): boolean {
  if (typeof agreed !== "number" || typeof dissent !== "number") return false;
  return Math.abs(agreed - dissent) <= NEAR * Math.max(Math.abs(agreed), Math.abs(dissent));
}
