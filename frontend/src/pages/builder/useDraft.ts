/** The draft of a workflow: kept in this browser, with the way back to what it was before. */
import { useCallback, useState } from "react";
import { type Draft, draftOf, EMPTY, type GraphDraft, type Places, withGraph, withText } from "./draft";

const KEY = "anchor.workflow-draft";
const STEPS_BACK_MAX = 100;

interface History {
  now: Draft;
  past: readonly Draft[];
  future: readonly Draft[];
  /** What is being typed into: the way back leads to before the typing, not from letter to letter. */
  typing: string | null;
}

function keep(draft: Draft): Draft {
  try {
    localStorage.setItem(KEY, JSON.stringify({ text: draft.text, places: draft.places }));
  } catch {
    // There is no room for it, or none is given: the draft then lasts as long as the page.
  }
  return draft;
}

/** Whether what this browser has is what `keep` wrote: others may have, and a page that broke on it would stay so. */
export function isKept(found: unknown): found is { text: string; places: Places } {
  if (typeof found !== "object" || found === null) return false;
  const { text, places } = found as Record<string, unknown>;
  if (typeof text !== "string" || typeof places !== "object" || places === null) return false;
  return Object.values(places).every((place) => Number.isFinite(place?.x) && Number.isFinite(place?.y));
}

function kept(): Draft {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(KEY) ?? "null");
    return isKept(found) ? withText(draftOf(EMPTY, found.places), found.text) : draftOf(EMPTY);
  } catch {
    return draftOf(EMPTY);
  }
}

/** `write` is told a text, `name` what it is called, `change` a graph and maybe where its boxes stand, `move` only the latter; `settle` is no change of anybody's. */
export function useDraft() {
  const [history, setHistory] = useState<History>(() => ({ now: kept(), past: [], future: [], typing: null }));
  const step = useCallback(
    (next: (draft: Draft) => Draft, typing: string | null = null) =>
      setHistory((before) => {
        const goesOn = typing !== null && typing === before.typing;
        const past = goesOn ? before.past : [...before.past, before.now].slice(-STEPS_BACK_MAX);
        return { now: keep(next(before.now)), past, future: [], typing };
      }),
    [],
  );
  const write = useCallback((text: string) => step((draft) => withText(draft, text), "text"), [step]);
  const name = useCallback(
    (word: string) => step((draft) => withGraph(draft, { ...draft.graph, name: word }), "name"),
    [step],
  );
  const change = useCallback(
    (graph: GraphDraft, places?: Places) =>
      step((draft) => ({ ...withGraph(draft, graph), places: places ?? draft.places })),
    [step],
  );
  const move = useCallback(
    (places: Places) => setHistory((all) => ({ ...all, now: keep({ ...all.now, places }) })),
    [],
  );
  const settle = useCallback(
    (next: (draft: Draft) => Draft) => setHistory((all) => ({ ...all, now: keep(next(all.now)) })),
    [],
  );
  const back = useCallback(
    () =>
      setHistory((all) => {
        const before = all.past.at(-1);
        if (before === undefined) return all;
        return { now: keep(before), past: all.past.slice(0, -1), future: [all.now, ...all.future], typing: null };
      }),
    [],
  );
  const forth = useCallback(
    () =>
      setHistory((all) => {
        const after = all.future[0];
        if (after === undefined) return all;
        return { now: keep(after), past: [...all.past, all.now], future: all.future.slice(1), typing: null };
      }),
    [],
  );
  return { draft: history.now, write, name, change, move, settle, back, forth, canGoBack: history.past.length > 0 };
}
