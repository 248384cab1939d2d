/** Where new boxes go on the sheet. */
import { BOX } from "../../graph/fold";
import { type GraphDraft, type Place, type Places, waitsFor } from "./draft";

const GAP = { x: 64, y: 20 };

/** The nearest free spot at a place or below it. */
export function freeSpot(wanted: Place, taken: readonly Place[]): Place {
  const spot = { ...wanted };
  const hits = (other: Place) =>
    Math.abs(other.x - spot.x) < BOX.width + GAP.y && Math.abs(other.y - spot.y) < BOX.height + GAP.y / 2;
  while (taken.some(hits)) spot.y += BOX.height + GAP.y;
  return spot;
}

/** To the right of a box. */
export function beside(place: Place): Place {
  return { x: place.x + BOX.width + GAP.x, y: place.y };
}

/** Where a step was put; a step may be called `constructor`, which every object has. */
function keptOf(places: Places, name: string): Place | undefined {
  return Object.hasOwn(places, name) ? places[name] : undefined;
}

/** A place for every step: its own, or one beside what it waits for. */
export function allPlaces(graph: GraphDraft, places: Places): Place[] {
  const taken: Place[] = [];
  const byName = new Map<string, Place>();
  for (const step of graph.steps) {
    const parents = waitsFor(step).flatMap((name) => byName.get(name) ?? keptOf(places, name) ?? []);
    const own = byName.has(step.id) ? undefined : keptOf(places, step.id);
    const right = parents.reduce<Place | null>((one, other) => (one === null || other.x > one.x ? other : one), null);
    const place = own ?? freeSpot(right === null ? { x: 0, y: 0 } : beside(right), taken);
    taken.push(place);
    byName.set(step.id, place);
  }
  return taken;
}
