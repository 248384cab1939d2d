/** Day or night: as the machine says, until somebody here says otherwise. */
export type Theme = "day" | "night";

const KEY = "anchor.theme";
const wish = () => window.matchMedia("(prefers-color-scheme: dark)");

/** What was chosen in this browser; null where the machine decides. */
export function chosen(): Theme | null {
  const kept = localStorage.getItem(KEY);
  return kept === "day" || kept === "night" ? kept : null;
}

/** The theme that is shown. */
export function current(): Theme {
  return chosen() ?? (wish().matches ? "night" : "day");
}

/** Keep a choice (null: let the machine decide) and show it. */
export function choose(theme: Theme | null): void {
  if (theme === null) localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, theme);
  show();
}

function show(): void {
  document.documentElement.dataset.theme = current();
  window.dispatchEvent(new Event("anchor:theme"));
}

/** Show the theme, now and whenever the machine changes its mind. */
export function follow(): void {
  show();
  wish().addEventListener("change", show);
}
