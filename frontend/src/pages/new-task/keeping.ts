/** Keeps what is being written, in this browser, and has something to begin with. */
import { useEffect, useRef, useState } from "react";
import { type Draft, drafted } from "./draft";
import { EXAMPLES } from "./examples";
import { isDraft } from "./kept";

const KEEP_MS = 400;

/** What is there before anybody has written anything: something that runs. */
export const FIRST: Draft = drafted(EXAMPLES[0]!.draft);

const PLACE = "anchor.draft.task";

/** The draft of this browser; null where there is none. */
export function loadDraft(): Draft | null {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(PLACE) ?? "null");
    return isDraft(kept) ? drafted(kept) : null;
  } catch {
    // What is there is none of ours; the first draft that is kept replaces it.
    return null;
  }
}

/** Keep a draft in this browser; whether there was room for it. */
function keepDraft(draft: Draft): boolean {
  try {
    localStorage.setItem(PLACE, JSON.stringify(draft));
    return true;
  } catch {
    return false;
  }
}

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
