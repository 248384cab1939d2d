/** A field of a form: its name, what is typed or chosen, and what is wrong with it. */
import { useId } from "react";
import styles from "./Field.module.css";

interface FieldProps<Value> {
  name: string;
  value: Value;
  change: (value: Value) => void;
  wrong?: string | null | undefined;
  /** What is said below it while nothing is wrong. */
  hint?: string;
  /** Its name stands above it, and it is as wide as there is room. */
  above?: boolean;
}

interface TextProps extends FieldProps<string> {
  size?: number;
  placeholder?: string;
  unit?: string;
  numeric?: boolean;
  required?: boolean;
}

export function Text({ value, change, size, placeholder, unit, numeric = false, required, ...frame }: TextProps) {
  return (
    <Frame {...frame}>
      {(said) => (
        <>
          <input
            {...said}
            className="field mono"
            size={size}
            value={value}
            placeholder={placeholder}
            required={required}
            inputMode={numeric ? "decimal" : undefined}
            autoComplete="off"
            spellCheck={false}
            onChange={(event) => change(event.target.value)}
          />
          {unit !== undefined && <span className="mute">{unit}</span>}
        </>
      )}
    </Frame>
  );
}

interface ChoiceProps extends FieldProps<string> {
  choices: readonly { value: string; word: string }[];
}

export function Choice({ value, change, choices, ...frame }: ChoiceProps) {
  return (
    <Frame {...frame}>
      {(said) => (
        <select {...said} className="field mono" value={value} onChange={(event) => change(event.target.value)}>
          {choices.map((one) => (
            <option key={one.value} value={one.value}>
              {one.word}
            </option>
          ))}
        </select>
      )}
    </Frame>
  );
}

/** A box to tick. */
export function Tick({ name, value, change }: FieldProps<boolean>) {
  return (
    <label className={styles.tick}>
      <input type="checkbox" checked={value} onChange={(event) => change(event.target.checked)} /> {name}
    </label>
  );
}

/** What is said under a field where something is wrong with it. */
export function Wrong({ id, says }: { id?: string; says: string | null | undefined }) {
  if (says === null || says === undefined) return null;
  return (
    <span id={id} className={styles.wrong}>
      {says}
    </span>
  );
}

interface FrameProps extends Omit<FieldProps<string>, "value" | "change"> {
  /** The field, which is told its id and what is said of it. */
  children: (said: { id: string; "aria-invalid": boolean; "aria-describedby": string | undefined }) => React.ReactNode;
}

function Frame({ name, wrong = null, hint, above = false, children }: FrameProps) {
  const id = useId();
  const says = `${id}-says`;
  const isSaid = wrong !== null || hint !== undefined;
  return (
    <span className={above ? styles.above : styles.field}>
      <label htmlFor={id}>{name}</label>
      {children({ id, "aria-invalid": wrong !== null, "aria-describedby": isSaid ? says : undefined })}
      {wrong === null && hint !== undefined && (
        <span id={says} className="mute">
          {hint}
        </span>
      )}
      <Wrong id={says} says={wrong} />
    </span>
  );
}
