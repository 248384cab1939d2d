/** The shortcuts of what is on the screen: whoever is shown has its keys, and `?` lists them. */
import { useEffect, useRef } from "react";
import { Chords, nameOf } from "./chords";

export interface Shortcut {
  /** One or two keys: "?", "g w", "mod+k". */
  keys: string;
  /** What it does, in a few words. */
  says: string;
  run: () => unknown;
}

/** Whether a shortcut is one of the page that is shown, or there whatever is shown. */
export type Where = "here" | "everywhere";

type Shelf = { current: readonly Shortcut[]; where: Where };
const shelves: Shelf[] = [];
const chords = new Chords();
/** What is typed while a window is on its way that will take it; null while none is. */
let ahead: string | null = null;

/** From now on keys are for a window that is about to open, and none of them is a shortcut. */
export function holdKeys(): void {
  ahead ??= "";
}

/** The window is here, or will not come: keys mean again what they meant. What was typed meanwhile. */
export function releaseKeys(): string {
  const typed = ahead ?? "";
  ahead = null;
  return typed;
}

/** Every shortcut there is at the moment; of equal keys, the newest of the page. */
export function shortcuts(): readonly (Shortcut & { where: Where })[] {
  const byKeys = new Map<string, Shortcut & { where: Where }>();
  for (const where of ["everywhere", "here"] as const) {
    for (const shelf of shelves.filter((one) => one.where === where)) {
      for (const one of shelf.current) byKeys.set(one.keys, { ...one, where });
    }
  }
  return [...byKeys.values()];
}

/** Have these shortcuts while the component is shown. */
export function useKeys(own: readonly Shortcut[], where: Where = "here"): void {
  const shelf = useRef<Shelf>({ current: own, where });
  shelf.current.current = own;
  useEffect(() => {
    const kept = shelf.current;
    shelves.push(kept);
    return () => {
      shelves.splice(shelves.indexOf(kept), 1);
    };
  }, []);
}

function pressed(event: KeyboardEvent): void {
  const name = nameOf(event);
  if (name === null || event.defaultPrevented) return;
  if (ahead !== null) {
    if (event.key === "Escape") releaseKeys();
    else if (event.key === "Backspace") ahead = ahead.slice(0, -1);
    else if (event.key.length === 1 && !name.startsWith("mod+")) ahead += event.key;
    event.preventDefault();
    return;
  }
  // Letters go to what is written in, and to an open menu, where they find what begins with them.
  const inText =
    event.target instanceof Element &&
    event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable], [role=menu]");
  if ((inText || document.querySelector("dialog[open]")) && !name.startsWith("mod+")) return;
  const all = shortcuts();
  const meant = chords.read(name, new Set(all.map((one) => one.keys)), event.timeStamp);
  const found = all.find((one) => one.keys === meant);
  if (found === undefined) return;
  event.preventDefault();
  found.run();
}

/** Listen to the keyboard. */
export function listen(): void {
  document.addEventListener("keydown", pressed);
}
