/** A field of the form: its name, what is typed, and what is wrong with it. */
import { createContext, useContext, useId } from "react";
import styles from "./NewTask.module.css";
import type { Fault } from "./spec";

/** What is wrong with the task. */
export const Faults = createContext<readonly Fault[]>([]);

/** What is wrong at a pointer, or below it, in words; null where nothing is. */
export function useFault(pointer: string): string | null {
  const found = useContext(Faults).filter((one) => one.pointer === pointer || one.pointer.startsWith(`${pointer}/`));
  return found.length === 0 ? null : found.map((one) => one.message).join("; ");
}

/** What is said under a field where something is wrong with it. */
export function Wrong({ id, says }: { id?: string; says: string | null }) {
  if (says === null) return null;
  return (
    <span id={id} className={styles.wrong}>
      {says}
    </span>
  );
}

interface TextProps {
  name: string;
  pointer: string;
  value: string;
  change: (text: string) => void;
  size?: number;
  placeholder?: string;
  unit?: string;
  numeric?: boolean;
}

export function Text({ name, pointer, value, change, size = 8, placeholder, unit, numeric = false }: TextProps) {
  const id = useId();
  const wrong = useFault(pointer);
  return (
    <span className={styles.field}>
      <label htmlFor={id}>{name}</label>
      <input
        id={id}
        className="field mono"
        size={size}
        value={value}
        placeholder={placeholder}
        inputMode={numeric ? "decimal" : undefined}
        autoComplete="off"
        spellCheck={false}
        aria-invalid={wrong !== null}
        aria-describedby={wrong === null ? undefined : `${id}-wrong`}
        onChange={(event) => change(event.target.value)}
      />
      {unit !== undefined && <span className="mute">{unit}</span>}
      <Wrong id={`${id}-wrong`} says={wrong} />
    </span>
  );
}

interface ChoiceProps {
  name: string;
  pointer: string;
  value: string;
  choices: readonly { value: string; word: string }[];
  change: (value: string) => void;
}

export function Choice({ name, pointer, value, choices, change }: ChoiceProps) {
  const id = useId();
  const wrong = useFault(pointer);
  return (
    <span className={styles.field}>
      <label htmlFor={id}>{name}</label>
      <select
        id={id}
        className="field mono"
        value={value}
        aria-invalid={wrong !== null}
        aria-describedby={wrong === null ? undefined : `${id}-wrong`}
        onChange={(event) => change(event.target.value)}
      >
        {choices.map((one) => (
          <option key={one.value} value={one.value}>
            {one.word}
          </option>
        ))}
      </select>
      <Wrong id={`${id}-wrong`} says={wrong} />
    </span>
  );
}

/** A box to tick. */
export function Tick({ name, value, change }: { name: string; value: boolean; change: (value: boolean) => void }) {
  return (
    <label className={styles.tick}>
      <input type="checkbox" checked={value} onChange={(event) => change(event.target.checked)} /> {name}
    </label>
  );
}
