/** Keeps what is being written, in this browser. */
import { useEffect, useRef, useState } from "react";
import { type Draft, keepDraft } from "./draft";

const KEEP_MS = 400;

/** Whether the draft is kept in this browser; null while it is about to be. */
export function useKept(draft: Draft): boolean | null {
  const [kept, setKept] = useState<{ draft: Draft; done: boolean } | null>(null);
  const newest = useRef(draft);
  newest.current = draft;
  useEffect(() => {
    const timer = window.setTimeout(() => setKept({ draft, done: keepDraft(draft) }), KEEP_MS);
    return () => window.clearTimeout(timer);
  }, [draft]);
  // Whoever leaves at once loses nothing, either.
  useEffect(() => {
    const keep = () => void keepDraft(newest.current);
    window.addEventListener("pagehide", keep);
    return () => {
      window.removeEventListener("pagehide", keep);
      keep();
    };
  }, []);
  return kept?.draft === draft ? kept.done : null;
}
