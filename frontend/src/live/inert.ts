/** Makes what a task printed harmless to look at: no terminal commands, no invisible characters, no endless lines. */

/** Characters of a line that are shown; the raw log has all of them. */
export const LINE_CHARACTERS_MAX = 2000;

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is taken out
const TERMINAL = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;
const INVISIBLE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is made visible
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]/g;

/** A line as it is shown: terminal colours gone, control and direction characters as visible marks, cut where long.
    `whole` is how long it is where only its beginning is given. */
export function inert(line: string, whole = line.length): string {
  const cut = line.length > LINE_CHARACTERS_MAX ? line.slice(0, LINE_CHARACTERS_MAX) : line;
  const shown = cut.replace(/\r$/, "").replace(TERMINAL, "").replace(INVISIBLE, mark);
  return cut.length < whole ? `${shown}… (${whole.toLocaleString("en")} characters)` : shown;
}

function mark(character: string): string {
  const code = character.charCodeAt(0);
  return code < 0x20 ? String.fromCharCode(0x2400 + code) : "\ufffd";
}
