/** The pages one can go to, as the navigation, the keyboard and the palette list them, and who may see which. */
import type { Role } from "../api/session";

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

const NEEDS: Readonly<Record<string, { word: string; role: Role }>> = {
  "/tasks/new": { word: "Run a task", role: "submitter" },
  "/dags/new": { word: "New workflow", role: "submitter" },
  "/clusters/new": { word: "Deploy an app", role: "submitter" },
  "/nodes/add": { word: "Add a node", role: "operator" },
  "/events": { word: "Events", role: "operator" },
  "/keys": { word: "Keys and people", role: "admin" },
};

/** What a page is called that not everybody may see, and the least role that may; null: everybody may. */
export function needOf(path: string): { word: string; role: Role } | null {
  return NEEDS[path] ?? null;
}

/** Where the thing with this id is shown; null where the text is no id. */
export function placeOfId(text: string): string | null {
  const kind = /^(task|dag|app)_[0-9a-z]{13}$/.exec(text)?.[1];
  if (kind === undefined) return /^[A-Z]{3}-[A-Z0-9]{6}$/.test(text) ? `/nodes/${text}` : null;
  return `${{ task: "/tasks", dag: "/dags", app: "/clusters" }[kind]}/${text}`;
}
