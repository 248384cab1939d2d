/** Where the fleet comes from: the live link as it changes, the list for what seldom does. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";
import { api, take } from "../api/client";
import { PACE_MS, SELDOM_MS } from "../api/queries";
import { enterRoom, useRoomPart } from "../live/socket";
import { Fleet, type FleetNode } from "./fleet";

/** The one fleet of this page. */
export const fleet = new Fleet();

interface FleetPicture {
  nodes: FleetNode[];
}

let base: FleetPicture | null = null;

/** Nodes that changed are drawn anew where they are; the picture is the one that the fleet was begun with. */
export function foldFleet(picture: FleetPicture, changed: FleetPicture): FleetPicture {
  begin(picture);
  fleet.apply(changed.nodes);
  return picture;
}

function begin(picture: FleetPicture | null): void {
  if (picture === null || picture === base) return;
  base = picture;
  fleet.apply(picture.nodes);
}

/** Be told of every change of the fleet, once per frame of the screen, until the function that is returned is called. */
export function watchFleet(listener: () => void): () => void {
  const leave = enterRoom<FleetPicture>("fleet", foldFleet, (seen) => {
    begin(seen.picture);
    listener();
  });
  learners.add(listener);
  return () => {
    leave();
    learners.delete(listener);
  };
}

const learners = new Set<() => void>();

/** How many nodes there are, as it changes. */
export function useFleetSize(): number {
  return useSyncExternalStore(watchFleet, () => fleet.size);
}

/** Have the fleet's facts read; `shape` changes when nodes have to be grouped anew. */
export function useFleet() {
  const live = useRoomPart<FleetPicture, boolean>("fleet", foldFleet, (seen) => seen.live);
  const shape = useSyncExternalStore(watchFleet, () => fleet.shape);
  const nodes = useQuery({
    queryKey: ["nodes", "facts"],
    queryFn: ({ signal }) => take(api.GET("/api/nodes", { signal })),
    // A node that the link tells of and the list does not know has it read soon.
    refetchInterval: () => (live && fleet.unknown === 0 ? SELDOM_MS : PACE_MS),
    structuralSharing: false,
  });
  const losses = useSyncExternalStore(watchFleet, () => fleet.losses);
  const { refetch } = nodes;
  useEffect(() => {
    if (losses > 0) void refetch();
  }, [losses, refetch]);
  useEffect(() => {
    if (nodes.data === undefined) return;
    fleet.learn(nodes.data, live);
    for (const listener of learners) listener();
  }, [nodes.data, live]);
  return { fleet, shape, live, known: nodes.data !== undefined, error: nodes.error, again: nodes.refetch };
}
