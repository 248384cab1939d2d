/** Moves the sheet of a graph so that a box is in sight, if it is not. */
import { useReactFlow } from "@xyflow/react";
import { useCallback } from "react";
import { BOX } from "./fold";

const READABLE_ZOOM = 0.6;

/** To be used inside a ReactFlowProvider; `sheet` is what the graph is drawn on. */
export function useReveal(sheet: React.RefObject<HTMLDivElement | null>) {
  const flow = useReactFlow();
  return useCallback(
    (place: { x: number; y: number }) => {
      const { x, y, zoom } = flow.getViewport();
      const size = sheet.current?.getBoundingClientRect();
      if (size === undefined) return;
      const [left, top] = [place.x * zoom + x, place.y * zoom + y];
      const across = left >= 0 && left + BOX.width * zoom <= size.width;
      if (across && top >= 0 && top + BOX.height * zoom <= size.height) return;
      const middle = { x: place.x + BOX.width / 2, y: place.y + BOX.height / 2 };
      void flow.setCenter(middle.x, middle.y, { zoom: Math.max(zoom, READABLE_ZOOM) });
    },
    [flow, sheet],
  );
}
