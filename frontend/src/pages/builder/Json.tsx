/** The workflow as text, with the numbers of its lines. */
import { useRef } from "react";
import styles from "./Builder.module.css";

interface JsonProps {
  text: string;
  change: (text: string) => void;
  wrong: boolean;
  readOnly: boolean;
}

export function Json({ text, change, wrong, readOnly }: JsonProps) {
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
        aria-label="The workflow as JSON"
        aria-invalid={wrong}
        onChange={(event) => change(event.target.value)}
        onScroll={(event) => {
          if (numbers.current !== null) numbers.current.scrollTop = event.currentTarget.scrollTop;
        }}
      />
    </div>
  );
}
