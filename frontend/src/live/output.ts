/** What is printed, as it is shown: lines, and whether more will come. */

/** A line that is shown: `key` counts from the first line on. */
export interface Line {
  key: number;
  at: string;
  attempt: number;
  stream: string;
  text: string;
}

/** `dropped` lines were forgotten at the front; `ended`: nothing more will come; `broken`: it is asked for again. */
export interface Output {
  lines: readonly Line[];
  dropped: number;
  ended: boolean;
  broken: boolean;
}

/** What there is before anything has come. */
export const NOTHING: Output = { lines: [], dropped: 0, ended: false, broken: false };
