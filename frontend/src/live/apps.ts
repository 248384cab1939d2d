/** The room of apps: how what it tells adds up. */
import type { AppRow } from "../api/client";

export interface AppsPicture {
  apps: readonly AppRow[];
  gone: readonly string[];
}

/** Apps that changed take the place of what they were; those that are gone leave. */
export function foldApps(picture: AppsPicture, changed: AppsPicture): AppsPicture {
  const apps = new Map(picture.apps.map((app) => [app.id, app]));
  for (const app of changed.apps) apps.set(app.id, app);
  for (const id of changed.gone) apps.delete(id);
  return { apps: [...apps.values()], gone: [] };
}
