/** How close rows of tables are, and whether the stream of tasks glides: choices of this browser. */
export const DENSITIES = ["compact", "normal", "comfortable"] as const;
type Density = (typeof DENSITIES)[number];

const KEY = "anchor.density";
const CALM_KEY = "anchor.calm";

/** What was chosen in this browser. */
export function density(): Density {
  const kept = localStorage.getItem(KEY);
  return DENSITIES.find((one) => one === kept) ?? "normal";
}

const ROW_PX: Record<Density, number> = { compact: 24, normal: 28, comfortable: 36 };

let shown: Density = "normal";

/** How high a row of a table is, as theme/tokens.css has it; asked for each of very many rows. */
export function rowPx(): number {
  return ROW_PX[shown];
}

/** Keep a choice and show it. */
export function chooseDensity(wanted: Density): void {
  localStorage.setItem(KEY, wanted);
  followDensity();
}

/** Show the density; measures are in theme/tokens.css. */
export function followDensity(): void {
  shown = density();
  document.documentElement.dataset.density = shown;
}

/** Keep whether what moves is to step; those that move look at it when they are shown. */
export function chooseCalm(calm: boolean): void {
  if (calm) localStorage.setItem(CALM_KEY, "yes");
  else localStorage.removeItem(CALM_KEY);
}

/** Whether what moves by itself was chosen to step here; where the machine asks for it, it does so in any case. */
export function chosenCalm(): boolean {
  return localStorage.getItem(CALM_KEY) === "yes";
}
