/** Filters somebody gave a name, kept in this browser. */
import { useSyncExternalStore } from "react";

export interface View {
  name: string;
  q: string;
}

const KEY = "anchor.task-views";
const CHANGED = "anchor:task-views";
const NONE: readonly View[] = [];
let read: { text: string | null; views: readonly View[] } = { text: null, views: NONE };

function isView(one: unknown): one is View {
  const view = one as View | null;
  return typeof view === "object" && typeof view?.name === "string" && typeof view.q === "string";
}

/** What is kept, as one value as long as nothing changes; what is no list of views counts as none. */
export function views(): readonly View[] {
  const text = localStorage.getItem(KEY);
  if (text !== read.text) read = { text, views: parsed(text) };
  return read.views;
}

function parsed(text: string | null): readonly View[] {
  try {
    const kept: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(kept) ? kept.filter(isView) : NONE;
  } catch {
    return NONE;
  }
}

/** Keep a view; one of the same name is replaced. */
export function keep(view: View): void {
  write([...views().filter((one) => one.name !== view.name), view]);
}

/** Forget the view of this name. */
export function forget(name: string): void {
  write(views().filter((one) => one.name !== name));
}

function write(next: readonly View[]): void {
  localStorage.setItem(KEY, JSON.stringify(next));
  window.dispatchEvent(new Event(CHANGED));
}

/** The views, as they change, in this tab or another. */
export function useViews(): readonly View[] {
  return useSyncExternalStore((listener) => {
    window.addEventListener(CHANGED, listener);
    window.addEventListener("storage", listener);
    return () => {
      window.removeEventListener(CHANGED, listener);
      window.removeEventListener("storage", listener);
    };
  }, views);
}
