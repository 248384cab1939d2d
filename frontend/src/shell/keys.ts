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

type Shelf = { current: readonly Shortcut[] };
const shelves: Shelf[] = [];
const chords = new Chords();

/** Every shortcut there is at the moment; of equal keys, the newest. */
export function shortcuts(): readonly Shortcut[] {
  const byKeys = new Map<string, Shortcut>();
  for (const shelf of shelves) for (const one of shelf.current) byKeys.set(one.keys, one);
  return [...byKeys.values()];
}

/** Have these shortcuts while the component is shown. */
export function useKeys(own: readonly Shortcut[]): void {
  const shelf = useRef(own);
  shelf.current = own;
  useEffect(() => {
    shelves.push(shelf);
    return () => {
      shelves.splice(shelves.indexOf(shelf), 1);
    };
  }, []);
}

function pressed(event: KeyboardEvent): void {
  const name = nameOf(event);
  if (name === null || event.defaultPrevented) return;
  const inText =
    event.target instanceof Element &&
    event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
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
