/** The workflow as text, JSON or YAML, with the numbers of its lines. */
import { useRef } from "react";
import styles from "./Builder.module.css";

interface JsonProps {
  text: string;
  change: (text: string) => void;
  wrong: boolean;
  readOnly: boolean;
  /** There is no step yet: what is pasted takes the place of all. */
  empty: boolean;
}

export function Json({ text, change, wrong, readOnly, empty }: JsonProps) {
  const numbers = useRef<HTMLPreElement>(null);
  const lines = text.split("\n").length;
  return (
    <div className={styles.json}>
      <pre ref={numbers} className={styles.numbers} aria-hidden="true">
        {Array.from({ length: lines }, (_, at) => at + 1).join("\n")}
      </pre>
      <textarea
        className={styles.text}
        value={text}
        readOnly={readOnly}
        spellCheck={false}
        autoComplete="off"
        wrap="off"
        aria-label="The workflow as JSON or YAML"
        aria-invalid={wrong}
        onChange={(event) => change(event.target.value)}
        onPaste={(event) => {
          const pasted = event.clipboardData.getData("text/plain");
          if (readOnly || !empty || !pasted.includes("\n")) return;
          event.preventDefault();
          change(pasted);
        }}
        onScroll={(event) => {
          if (numbers.current !== null) numbers.current.scrollTop = event.currentTarget.scrollTop;
        }}
      />
    </div>
  );
}
