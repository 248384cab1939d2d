/** Which box an arrow key leads to. */

interface Place {
  x: number;
  y: number;
}

const WAYS: Record<string, Place> = {
  ArrowRight: { x: 1, y: 0 },
  ArrowLeft: { x: -1, y: 0 },
  ArrowDown: { x: 0, y: 1 },
  ArrowUp: { x: 0, y: -1 },
};
/** Straight on counts more than near. */
const ASIDE = 2;

/** The number of the place that lies next in the direction of the key; null where there is none, or no direction. */
export function nearest(places: readonly Place[], from: number, key: string): number | null {
  const way = WAYS[key];
  const here = places[from];
  if (way === undefined || here === undefined) return null;
  let best: number | null = null;
  let least = Number.POSITIVE_INFINITY;
  places.forEach((place, at) => {
    const [dx, dy] = [place.x - here.x, place.y - here.y];
    const ahead = dx * way.x + dy * way.y;
    const aside = Math.abs(dx * way.y) + Math.abs(dy * way.x);
    if (at === from || ahead <= 0) return;
    const cost = ahead + ASIDE * aside;
    if (cost < least) [best, least] = [at, cost];
  });
  return best;
}
