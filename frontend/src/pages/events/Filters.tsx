/** What of the trail is to be seen: words are asked for with Enter, everything else as it is chosen. */
import { useEffect, useState } from "react";
import styles from "./Events.module.css";
import { FIELDS, type Filter } from "./queries";

const KINDS = [
  "node_joined",
  "node_drained",
  "node_resumed",
  "node_blocked",
  "node_labelled",
  "node_quarantined",
  "key_created",
  "key_revoked",
  "join_token_revoked",
  "signed_in",
  "attempt_refused",
  "case_rerun",
  "restored",
];

/** A kind as words. */
export function inWords(kind: string): string {
  return kind.replaceAll("_", " ");
}

interface FiltersProps {
  filter: Filter;
  seenKinds: readonly string[];
  change: (filter: Filter) => void;
}

export function Filters({ filter, seenKinds, change }: FiltersProps) {
  const [typed, setTyped] = useState(filter);
  const asked = FIELDS.map((name) => filter[name] ?? "").join("\n");
  // biome-ignore lint/correctness/useExhaustiveDependencies: another address is what it waits for
  useEffect(() => setTyped(filter), [asked]);
  const kinds = [...new Set([...KINDS, ...seenKinds, ...(filter.kind ? [filter.kind] : [])])].sort();
  const type = (name: keyof Filter) => (event: React.ChangeEvent<HTMLInputElement>) =>
    setTyped({ ...typed, [name]: event.target.value });
  const day = (name: "from" | "to") => (event: React.ChangeEvent<HTMLInputElement>) =>
    change({ ...typed, [name]: event.target.value });
  return (
    <search>
      <form
        className={styles.filter}
        onSubmit={(event) => {
          event.preventDefault();
          change(typed);
        }}
      >
        <label className={styles.text}>
          <span className="label">Anywhere in it</span>
          <input className="field" value={typed.text ?? ""} onChange={type("text")} placeholder="drained, REX-…" />
        </label>
        <label>
          <span className="label">What happened</span>
          <select
            className="field"
            value={filter.kind ?? ""}
            onChange={(event) => change({ ...typed, kind: event.target.value })}
          >
            <option value="">anything</option>
            {kinds.map((kind) => (
              <option key={kind} value={kind}>
                {inWords(kind)}
              </option>
            ))}
          </select>
        </label>
        <label>
          <span className="label">By</span>
          <input className="field" value={typed.by ?? ""} onChange={type("by")} placeholder="anybody" />
        </label>
        <label>
          <span className="label">About</span>
          <input className="field" value={typed.subject ?? ""} onChange={type("subject")} placeholder="anything" />
        </label>
        <label>
          <span className="label">From</span>
          <input className="field" type="date" value={filter.from ?? ""} onChange={day("from")} />
        </label>
        <label>
          <span className="label">To</span>
          <input className="field" type="date" value={filter.to ?? ""} onChange={day("to")} />
        </label>
        <button type="submit" className="button">
          Find
        </button>
      </form>
    </search>
  );
}
