/** The pages one can go to, as the navigation, the keyboard and the palette list them. */

export interface Place {
  group: "Work" | "Fleet" | "Records" | "Setup";
  word: string;
  to: "/" | "/tasks" | "/dags" | "/apps" | "/nodes" | "/cases" | "/events" | "/usage" | "/keys" | "/settings";
  keys: string;
}

export const PLACES: readonly Place[] = [
  { group: "Work", word: "Watch", to: "/", keys: "g w" },
  { group: "Work", word: "Tasks", to: "/tasks", keys: "g t" },
  { group: "Work", word: "Workflows", to: "/dags", keys: "g d" },
  { group: "Work", word: "Apps", to: "/apps", keys: "g a" },
  { group: "Fleet", word: "Nodes", to: "/nodes", keys: "g n" },
  { group: "Fleet", word: "Verification", to: "/cases", keys: "g v" },
  { group: "Records", word: "Events", to: "/events", keys: "g e" },
  { group: "Records", word: "Usage", to: "/usage", keys: "g u" },
  { group: "Setup", word: "Keys and people", to: "/keys", keys: "g k" },
  { group: "Setup", word: "Settings", to: "/settings", keys: "g s" },
];
