/** The picture of the watch and of the fleet: over the live link, or asked for at a pace where there is none. */
import { useEffect, useRef, useState } from "react";
import type { NodeView } from "../api/client";
import { useNodes, useQueue } from "../api/queries";
import { useRoom } from "./socket";

/** The six figures; null where the server has nothing to tell. `done` and `failed` are of the last five minutes. */
export interface Figures {
  running: number;
  waiting: number;
  done: number;
  failed: number;
  medianWaitMs: number | null;
  online: number;
  nodes: number;
}

interface WatchPicture {
  counts: Record<string, number>;
  figures: Figures;
}

const latest = (_: WatchPicture, data: WatchPicture) => data;

/** Whether a node can be heard: it is connected, in service or on its way out of it. */
export function isOnline(status: string): boolean {
  return status === "online" || status === "draining";
}

/** The figures now, and why there are none where there are none. */
export function useFigures() {
  const room = useRoom<WatchPicture>("watch", latest);
  const queue = useQueue(!room.live);
  const nodes = useNodes();
  if (room.live && room.picture !== null) return { figures: room.picture.figures, error: null };
  const tasks = queue.data?.tasks;
  if (tasks === undefined || nodes.data === undefined) return { figures: null, error: queue.error ?? nodes.error };
  const figures: Figures = {
    running: tasks.active,
    waiting: tasks.waiting + tasks.delayed,
    done: Math.round((tasks.completedPerMinute ?? 0) * 5),
    failed: Math.round((tasks.failedPerMinute ?? 0) * 5),
    medianWaitMs: null,
    online: nodes.data.filter((node) => isOnline(node.status)).length,
    nodes: nodes.data.length,
  };
  return { figures, error: null };
}

/** id, status, active slots (null: not known here), slots, CPU in per cent, and whether it is failing or flagged. */
type FleetNode = [string, string, number | null, number, number, "" | "failing" | "flagged"];
interface FleetPicture {
  nodes: FleetNode[];
}

/** Nodes that changed take the place of what they were. */
export function foldFleet(picture: FleetPicture, changed: FleetPicture): FleetPicture {
  const nodes = new Map(picture.nodes.map((node) => [node[0], node]));
  for (const node of changed.nodes) nodes.set(node[0], node);
  return { nodes: [...nodes.values()] };
}

/** A node as the map draws it; `load` is a share of its slots from 0 to 1. */
export interface Sounding {
  id: string;
  site: string;
  mark: "idle" | "working" | "failing" | "lost" | "flagged" | "draining" | "blocked";
  load: number;
  active: number;
  slots: number;
  seenAt: string | null;
}

/** What the map makes of a node. */
export function soundingOf(node: NodeView, now?: FleetNode): Sounding {
  const status = now?.[1] ?? node.status;
  const active = now?.[2] ?? node.active ?? 0;
  const slots = now?.[3] ?? node.slots;
  const site = node.labels.find((label) => label.startsWith("site:") || label.startsWith("site="))?.slice(5);
  return {
    id: node.nodeId,
    site: site || "",
    mark: markOf(status, active, now?.[5] ?? ""),
    load: slots > 0 ? Math.min(1, active / slots) : 0,
    active,
    slots,
    seenAt: node.seenAt,
  };
}

function markOf(status: string, active: number, trouble: "" | "failing" | "flagged"): Sounding["mark"] {
  if (status === "quarantined") return "flagged";
  if (status === "blocked") return "blocked";
  if (status === "offline") return "lost";
  if (trouble !== "") return trouble;
  if (status === "draining") return "draining";
  return active > 0 ? "working" : "idle";
}

/** Every node as the map draws it. */
export function useFleet() {
  const room = useRoom<FleetPicture>("fleet", foldFleet);
  const nodes = useNodes();
  const changes = new Map(room.live ? room.picture?.nodes.map((node) => [node[0], node]) : []);
  const soundings = nodes.data?.map((node) => soundingOf(node, changes.get(node.nodeId))) ?? null;
  return { soundings, error: nodes.error, again: nodes.refetch };
}

const SAMPLES_MAX = 60;

/** A figure's course since the page was opened, sampled every two seconds: at most two minutes of it. */
export function useCourse(value: number | null): readonly number[] {
  const [samples, setSamples] = useState<readonly number[]>([]);
  const newest = useRef(value);
  newest.current = value;
  useEffect(() => {
    const timer = setInterval(() => {
      const sample = newest.current;
      if (sample !== null && !document.hidden) setSamples((old) => [...old.slice(1 - SAMPLES_MAX), sample]);
    }, 2000);
    return () => clearInterval(timer);
  }, []);
  return samples;
}
