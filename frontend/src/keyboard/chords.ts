/** Reads key presses as shortcuts of one or two keys ("?", "g w", "mod+k"), whatever the layout of the keyboard. */

const SECOND_KEY_MS = 1000;

/** What of a key press counts. */
export interface Press {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
}

/** The name of a press; null for one that is no shortcut's. `mod` is ⌘ or Ctrl. */
export function nameOf(press: Press): string | null {
  if (press.altKey || ["Shift", "Control", "Meta", "Alt"].includes(press.key)) return null;
  const key = press.key.length === 1 ? press.key.toLowerCase() : press.key;
  return press.ctrlKey || press.metaKey ? `mod+${key}` : key;
}

/** Remembers the first key of a pair. */
export class Chords {
  private first = "";
  private until = 0;

  /** What was meant: a pair that is `known`, or the key alone; null where a second key has to come. */
  read(name: string, known: ReadonlySet<string>, now: number): string | null {
    const pair = `${this.first} ${name}`;
    const isPair = this.first !== "" && now < this.until && known.has(pair);
    this.first = "";
    if (isPair) return pair;
    if ([...known].some((keys) => keys.startsWith(`${name} `))) {
      this.first = name;
      this.until = now + SECOND_KEY_MS;
      return known.has(name) ? name : null;
    }
    return name;
  }
}
