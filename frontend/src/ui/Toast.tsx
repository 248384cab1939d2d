/** What came of something that was done, said once, at the edge of the page, until it is put away. */
import { X } from "lucide-react";
import { useSyncExternalStore } from "react";
import { Problem } from "../api/client";
import styles from "./Toast.module.css";

interface Said {
  number: number;
  text: string;
  bad: boolean;
}

const SHOWN_MAX = 3;
let all: readonly Said[] = [];
let count = 0;
const listeners = new Set<() => void>();

function set(next: readonly Said[]): void {
  all = next;
  for (const listener of listeners) listener();
}

/** Say something; `bad` where it went wrong. */
export function say(text: string, bad = false): void {
  set([...all.slice(1 - SHOWN_MAX), { number: count++, text, bad }]);
}

/** Say why something could not be done, and what to do about it. */
export function sayWhyNot(error: Error): void {
  say(error instanceof Problem ? `${error.message} ${error.hint}`.trim() : error.message, true);
}

export function Toasts() {
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => all,
  );
  return (
    <div className={styles.toasts} role="status" aria-live="polite">
      {shown.map((one) => (
        <div key={one.number} className={`${styles.toast} ${one.bad ? styles.bad : ""}`}>
          <span>{one.text}</span>
          <button
            type="button"
            className={styles.away}
            aria-label="Put away"
            onClick={() => set(all.filter((other) => other !== one))}
          >
            <X size={14} aria-hidden="true" />
          </button>
        </div>
      ))}
    </div>
  );
}
