/** The row in which one looks for a text in an output. */
import { useEffect, useRef } from "react";
import styles from "./Output.module.css";
import { count, many } from "./words";

interface FindProps {
  wanted: string;
  /** Another text; null: no more. */
  search: (text: string | null) => void;
  found: number;
  /** Which of those found is shown, from 0; -1: none. */
  place: number;
  goTo: (place: number) => void;
}

export function Find({ wanted, search, found, place, goTo }: FindProps) {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const step = (by: number) => found > 0 && goTo((place + by + found) % found);
  const pressed = (event: React.KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Escape") search(null);
    else if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
    else return;
    event.preventDefault();
  };
  return (
    <div className={styles.find} role="search">
      <input
        ref={field}
        className="field"
        type="search"
        aria-label="Find in the output"
        placeholder="find in the output"
        value={wanted}
        onChange={(event) => search(event.target.value)}
        onKeyDown={pressed}
      />
      <span className="mute" role="status">
        {wanted === ""
          ? "Enter: next · Shift Enter: the one before · Esc: close"
          : found === 0
            ? "in no line"
            : place < 0
              ? `in ${many(found, "line")}`
              : `${count(place + 1)} of ${many(found, "line")}`}
      </span>
      <button type="button" className="link" disabled={found === 0} onClick={() => step(-1)}>
        before
      </button>
      <button type="button" className="link" disabled={found === 0} onClick={() => step(1)}>
        next
      </button>
      <button type="button" className="link" onClick={() => search(null)}>
        close
      </button>
    </div>
  );
}
