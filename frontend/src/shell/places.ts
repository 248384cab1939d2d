/** The pages one can go to, as the navigation, the keyboard and the palette list them. Only what is built is here. */

export interface Place {
  group: "Work" | "Fleet" | "Records" | "Setup";
  word: string;
  to: "/" | "/tasks";
  keys: string;
}

export const PLACES: readonly Place[] = [
  { group: "Work", word: "Watch", to: "/", keys: "g w" },
  { group: "Work", word: "Tasks", to: "/tasks", keys: "g t" },
];
