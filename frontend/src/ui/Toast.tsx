/** What came of something that was done, said once, at the edge of the page: what went wrong until it is put away. */
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
/** What went well goes by itself, unless somebody points at it: it covers what lies below. */
const SHOWN_MS = 12_000;
let all: readonly Said[] = [];
let count = 0;
const listeners = new Set<() => void>();

function set(next: readonly Said[]): void {
  all = next;
  for (const listener of listeners) listener();
}

/** Say something; `bad` where it went wrong. */
export function say(text: string, bad = false): void {
  const one = { number: count++, text, bad };
  set([...all.slice(1 - SHOWN_MAX), one]);
  if (!bad) setTimeout(goes, SHOWN_MS, one);
}

function goes(one: Said): void {
  const isReadNow = document.getElementById(`said-${one.number}`)?.matches(":hover, :focus-within");
  if (isReadNow) setTimeout(goes, SHOWN_MS, one);
  else putAway(one);
}

function putAway(one: Said): void {
  set(all.filter((other) => other !== one));
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
        <div key={one.number} id={`said-${one.number}`} className={`${styles.toast} ${one.bad ? styles.bad : ""}`}>
          <span>{one.text}</span>
          <button type="button" className={styles.away} aria-label="Put away" onClick={() => putAway(one)}>
            <X size={14} aria-hidden="true" />
          </button>
        </div>
      ))}
    </div>
  );
}
