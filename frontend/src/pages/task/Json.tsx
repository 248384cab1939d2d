/** A JSON value as a text that can be read and copied. */
import { copy } from "../../ui/AsCurl";
import looks from "../../ui/looks.module.css";
import styles from "./Task.module.css";

export function Json({ value, label }: { value: unknown; label: string }) {
  const text = JSON.stringify(value, null, 2) ?? "null";
  return (
    <div className={styles.json}>
      <button type="button" className="link" onClick={() => void copy(text)}>
        copy
      </button>
      <pre className={looks.printed} tabIndex={0} role="region" aria-label={label}>
        {text}
      </pre>
    </div>
  );
}
