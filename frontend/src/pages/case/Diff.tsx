/** The answers that disagree, side by side: bytes with those marked that differ, and values where both are JSON. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { inert } from "../../live/inert";
import looks from "../../ui/looks.module.css";
import { Loading } from "../../ui/Said";
import { useMedia } from "../../ui/useMedia";
import { count } from "../../ui/words";
import styles from "./Case.module.css";
import { type Change, changesOf, isIn, type Run, runsOf } from "./diff";
import { bytesOf, type Difference, type Testimony } from "./evidence";

const NARROW = 8;
const WIDE = 16;
const ROWS = 8;
const ROOMY = "(min-width: 1240px)";

/** What there is to compare: the bytes of both, where both gave some. */
export function useCompared(agreed: Testimony | undefined, dissent: Testimony | undefined) {
  return useQuery({
    queryKey: ["compared", agreed?.answer, agreed?.nodeId, dissent?.answer, dissent?.nodeId],
    enabled: agreed !== undefined && dissent !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: async ({ signal }) => {
      const sides = [agreed, dissent] as [Testimony, Testimony];
      const [one, other] = await Promise.all(sides.map((side) => bytesOf(side, signal)));
      if (!one || !other) return null;
      return { agreed: one, dissent: other, runs: runsOf(one, other), changes: changesOf(one, other) };
    },
  });
}

interface DiffProps {
  compared: ReturnType<typeof useCompared>;
  node: string;
  told: Difference | undefined;
}

export function Diff({ compared, node, told }: DiffProps) {
  const [chosen, setChosen] = useState(0);
  // As many bytes in a row as there is room for, twice.
  const row = useMedia(ROOMY) ? WIDE : NARROW;
  if (compared.isPending && compared.isEnabled) return <Loading what="both answers" />;
  const found = compared.data;
  if (!found || found.runs.length === 0) return <Told node={node} told={told} />;
  const { runs } = found;
  const at = Math.min(chosen, runs.length - 1);
  const first = runs[at]?.from ?? 0;
  const from = Math.max(0, Math.floor(first / row) * row - row);
  const to = Math.min(Math.max(found.agreed.length, found.dissent.length), from + row * ROWS);
  const differing = runs.reduce((sum, run) => sum + run.to - run.from, 0);
  const where = `bytes ${hex(from)}–${hex(to - 1)}`;
  return (
    <div className={styles.diff}>
      <p className="mute">
        {differing === 1 ? "1 byte differs" : `${count(differing)} bytes differ`}, the first at{" "}
        <span className="mono">{hex(runs[0]?.from ?? 0)}</span>.{" "}
        {runs.length > 1 && (
          <>
            Difference {count(at + 1)} of {count(runs.length)}.{" "}
            <button type="button" className="link" disabled={at === 0} onClick={() => setChosen(at - 1)}>
              Before
            </button>{" "}
            <button type="button" className="link" disabled={at === runs.length - 1} onClick={() => setChosen(at + 1)}>
              Next
            </button>
          </>
        )}
      </p>
      <div className={styles.sides}>
        <Bytes
          title={`Majority, ${where}`}
          bytes={found.agreed}
          runs={runs}
          from={from}
          to={to}
          row={row}
          marked={false}
        />
        <Bytes title={`${node}, ${where}`} bytes={found.dissent} runs={runs} from={from} to={to} row={row} marked />
      </div>
      {isByValue(found.changes) && <Values changes={found.changes ?? []} node={node} />}
    </div>
  );
}

/** Where the whole differs there is nothing to tell that the bytes do not. */
function isByValue(changes: readonly Change[] | null): boolean {
  return changes !== null && changes.length > 0 && changes[0]?.path !== "";
}

function hex(at: number): string {
  return `0x${at.toString(16).padStart(2, "0")}`;
}

interface BytesProps {
  title: string;
  bytes: Uint8Array;
  runs: readonly Run[];
  from: number;
  to: number;
  /** Bytes in a row. */
  row: number;
  /** Whether what differs is marked: only in the answer that differs. */
  marked: boolean;
}

function Bytes({ title, bytes, runs, from, to, row, marked }: BytesProps) {
  const rows = Array.from({ length: Math.ceil((to - from) / row) }, (_, number) => from + number * row);
  return (
    <figure className={styles.side}>
      <figcaption className="label">{title}</figcaption>
      <pre className={`${looks.printed} ${styles.bytes}`} tabIndex={0}>
        {rows.map((begin) => (
          <div key={begin}>
            {[...bytes.slice(begin, Math.min(begin + row, to))].map((byte, column) => {
              const at = begin + column;
              const text = byte.toString(16).padStart(2, "0");
              const gap = column === row - 1 ? "" : " ";
              return marked && isIn(runs, at) ? (
                <mark key={at}>
                  {text}
                  {isIn(runs, at + 1) ? gap : ""}
                </mark>
              ) : (
                <span key={at}>{text + gap}</span>
              );
            })}
            <span className={styles.letters}>{lettersOf(bytes.slice(begin, Math.min(begin + row, to)))}</span>
          </div>
        ))}
      </pre>
    </figure>
  );
}

/** Bytes as letters where they are some, and as dots. */
function lettersOf(bytes: Uint8Array): string {
  return [...bytes].map((byte) => (byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")).join("");
}

const VALUES_SHOWN = 12;

function Values({ changes, node }: { changes: readonly Change[]; node: string }) {
  // A number beyond all bounds, such as 1e999, is one that JSON has no word for.
  const text = (value: unknown) => (typeof value === "number" ? String(value) : JSON.stringify(value));
  const shown = (value: unknown) => (value === undefined ? "nothing" : inert(text(value)).slice(0, 200));
  return (
    <div className={looks.wide}>
      <table className={`${looks.table} ${styles.values}`}>
        <caption className="unseen">The values that differ</caption>
        <thead>
          <tr>
            <th scope="col">value</th>
            <th scope="col">majority</th>
            <th scope="col">{node}</th>
          </tr>
        </thead>
        <tbody>
          {changes.slice(0, VALUES_SHOWN).map((change) => (
            <tr key={change.path}>
              <th scope="row" className="mono">
                <bdi>{change.path === "" ? "the whole" : change.path}</bdi>
              </th>
              <td className="mono">
                <bdi>{shown(change.agreed)}</bdi>
              </td>
              <td className="mono">
                <mark>
                  <bdi>{shown(change.dissent)}</bdi>
                </mark>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {changes.length > VALUES_SHOWN && <p className="mute">And {changes.length - VALUES_SHOWN} more.</p>}
    </div>
  );
}

/** What the server has noted of the difference, where the answers themselves are not to be had or are files. */
function Told({ node, told }: { node: string; told: Difference | undefined }) {
  if (told === undefined) return <p className="mute">The answers are too large to show here, or gone.</p>;
  return (
    <div className={styles.sides}>
      {[
        { title: `Majority, ${told.where}`, text: told.agreed, marked: false },
        { title: `${node}, ${told.where}`, text: told.dissent, marked: true },
      ].map(({ title, text, marked }) => (
        <figure key={title} className={styles.side}>
          <figcaption className="label">
            <bdi>{title}</bdi>
          </figcaption>
          <pre className={`${looks.printed} ${styles.bytes}`} tabIndex={0}>
            {marked ? <mark>{inert(text)}</mark> : inert(text)}
          </pre>
        </figure>
      ))}
    </div>
  );
}
