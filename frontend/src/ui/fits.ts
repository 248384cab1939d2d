/** Finds a thing by a few letters of its name. */

/** Whether the letters come in this order in the word, however far apart. */
export function fits(word: string, letters: string): boolean {
  let at = 0;
  for (const letter of letters.toLowerCase().replaceAll(" ", "")) {
    at = word.toLowerCase().indexOf(letter, at) + 1;
    if (at === 0) return false;
  }
  return true;
}
