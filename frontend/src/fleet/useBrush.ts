/** Going over the fleet's map by pointer and by keyboard: which node is meant, and which are selected. */
import { type RefObject, useRef, useState } from "react";
import type { Fleet } from "./fleet";
import type { Group } from "./groups";
import type { Layout } from "./soundings";

const DRAG_PX = 5;

interface Drawn {
  group: Group;
  layout: Layout;
}

interface Going {
  map: RefObject<HTMLDivElement | null>;
  fleet: Fleet;
  drawn: readonly Drawn[];
  selected: ReadonlySet<string>;
  select: (ids: ReadonlySet<string>) => void;
  open: (id: string) => void;
}

/** A node of the map: which group, and which of its nodes. */
interface Spot {
  group: number;
  index: number;
}

interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

export function useBrush({ map, fleet, drawn, selected, select, open }: Going) {
  const [meant, setMeant] = useState<Spot | null>(null);
  const [byKey, setByKey] = useState(false);
  const [stretch, setStretch] = useState<Box | null>(null);
  const from = useRef<{ x: number; y: number } | null>(null);

  const placeOf = (spot: Spot | null) => (spot === null ? undefined : drawn[spot.group]?.group.places[spot.index]);
  const canvases = () => [...(map.current?.querySelectorAll("canvas") ?? [])];
  const spotAt = (event: React.PointerEvent | React.MouseEvent): Spot | null => {
    const group = canvases().indexOf(event.target as HTMLCanvasElement);
    if (group < 0) return null;
    const index = drawn[group]!.layout.at(event.nativeEvent.offsetX, event.nativeEvent.offsetY);
    return index < 0 ? null : { group, index };
  };
  /** Where the map begins on the screen, with what of it was scrolled away. */
  const origin = () => {
    const box = map.current!.getBoundingClientRect();
    return { x: box.left - map.current!.scrollLeft, y: box.top - map.current!.scrollTop };
  };
  const idsOf = (spots: readonly Spot[]) => spots.map((spot) => fleet.ids[placeOf(spot)!]!);

  const move = (by: { group: number; index: number }, adding: boolean) => {
    const now = meant ?? { group: 0, index: 0 };
    const next = meant === null ? now : stepped(drawn, now, by);
    setMeant(next);
    setByKey(true);
    if (adding) select(new Set([...selected, ...idsOf([now, next])]));
  };
  const pressed = (event: React.KeyboardEvent) => {
    const rows = drawn[meant?.group ?? 0]?.layout.rows ?? 1;
    const steps: Record<string, number> = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -rows, ArrowRight: rows };
    const place = placeOf(meant);
    if (event.key in steps) move({ group: 0, index: steps[event.key]! }, event.shiftKey);
    else if (event.key === "Home") setMeant({ group: 0, index: 0 });
    else if (event.key === "Enter" && place !== undefined) open(fleet.ids[place]!);
    else if (event.key === " " && place !== undefined) select(toggled(selected, fleet.ids[place]!));
    else if (event.key === "Escape" && (selected.size > 0 || meant !== null)) {
      select(new Set());
      setMeant(null);
    } else return;
    event.preventDefault();
  };

  const handlers = {
    onKeyDown: pressed,
    onBlur: () => byKey && setMeant(null),
    onPointerDown: (event: React.PointerEvent) => {
      if (event.pointerType !== "touch" && event.button === 0) from.current = { x: event.clientX, y: event.clientY };
    },
    onPointerMove: (event: React.PointerEvent) => {
      const begun = from.current;
      if (begun === null || event.buttons === 0) {
        from.current = null;
        const spot = spotAt(event);
        if (!byKey || spot !== null) setMeant((old) => (isSame(old, spot) ? old : spot));
        if (spot !== null) setByKey(false);
        return;
      }
      if (stretch === null && Math.hypot(event.clientX - begun.x, event.clientY - begun.y) < DRAG_PX) return;
      map.current?.setPointerCapture(event.pointerId);
      const { x, y } = origin();
      setMeant(null);
      setStretch({
        left: Math.min(begun.x, event.clientX) - x,
        top: Math.min(begun.y, event.clientY) - y,
        width: Math.abs(begun.x - event.clientX),
        height: Math.abs(begun.y - event.clientY),
      });
    },
    onPointerUp: (event: React.PointerEvent) => {
      from.current = null;
      if (stretch === null) {
        const place = placeOf(spotAt(event));
        if (place === undefined) return;
        if (event.shiftKey || event.ctrlKey || event.metaKey) select(toggled(selected, fleet.ids[place]!));
        else open(fleet.ids[place]!);
        return;
      }
      const { x, y } = origin();
      const ids = canvases().flatMap((canvas, group) => {
        const at = canvas.getBoundingClientRect();
        const [left, top] = [stretch.left + x - at.left, stretch.top + y - at.top];
        const within = drawn[group]!.layout.within(left, top, left + stretch.width, top + stretch.height);
        return idsOf(within.map((index) => ({ group, index })));
      });
      select(new Set(event.shiftKey ? [...selected, ...ids] : ids));
      setStretch(null);
    },
    onPointerLeave: () => byKey || setMeant(null),
  };

  let told = null;
  let ring: Box | null = null;
  const place = placeOf(meant);
  if (meant !== null && place !== undefined && map.current !== null) {
    const at = canvases()[meant.group]?.getBoundingClientRect();
    const { x: left, y: top } = origin();
    if (at !== undefined) {
      const { layout } = drawn[meant.group]!;
      const [inX, inY] = layout.centre(meant.index);
      const [x, y] = [at.left - left + inX, at.top - top + inY];
      const isRight = x > map.current.clientWidth / 2;
      told = { place, x: x + (isRight ? -12 : 12), y: y + 12, isRight };
      if (byKey) {
        ring = {
          left: x - layout.cell / 2 - 1,
          top: y - layout.line / 2 - 1,
          width: layout.pitch,
          height: layout.line,
        };
      }
    }
  }
  return { handlers, told, ring, stretch, byKey };
}

/** The spot so many nodes on; beyond a group's end in the next one. */
function stepped(drawn: readonly Drawn[], spot: Spot, by: { group: number; index: number }): Spot {
  const index = spot.index + by.index;
  const size = drawn[spot.group]?.group.places.length ?? 0;
  if (index >= 0 && index < size) return { group: spot.group, index };
  const group = spot.group + Math.sign(by.index);
  const other = drawn[group]?.group.places.length;
  if (other === undefined) return { group: spot.group, index: Math.max(0, Math.min(size - 1, index)) };
  return { group, index: by.index > 0 ? 0 : other - 1 };
}

function isSame(one: Spot | null, other: Spot | null): boolean {
  return one?.group === other?.group && one?.index === other?.index;
}

function toggled(selected: ReadonlySet<string>, id: string): ReadonlySet<string> {
  const next = new Set(selected);
  if (!next.delete(id)) next.add(id);
  return next;
}
