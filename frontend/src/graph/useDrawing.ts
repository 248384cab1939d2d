/** The drawing of a graph, made by a worker. */
import { useCallback, useEffect, useRef, useState } from "react";
import type { Linked } from "./fold";
import type { Drawing } from "./layout";
import type { Order } from "./layout.worker";

interface Answer {
  number: number;
  drawing: Drawing;
}

/** Asks for drawings; the worker lives as long as the component, and of several orders the last one counts. */
export function useDraw(got: (drawing: Drawing) => void): (steps: readonly Linked[], whole: boolean) => void {
  const worker = useRef<Worker | null>(null);
  const number = useRef(0);
  const taker = useRef(got);
  taker.current = got;
  useEffect(
    () => () => {
      worker.current?.terminate();
      worker.current = null;
    },
    [],
  );
  return useCallback((steps, whole) => {
    if (worker.current === null) {
      worker.current = new Worker(new URL("./layout.worker.ts", import.meta.url), { type: "module" });
      worker.current.onmessage = ({ data }: MessageEvent<Answer>) => {
        if (data.number === number.current) taker.current(data.drawing);
      };
    }
    number.current += 1;
    const bare = steps.map(({ id, dependencies, softDependencies }) => ({ id, dependencies, softDependencies }));
    worker.current.postMessage({ number: number.current, steps: bare, whole } satisfies Order);
  }, []);
}

/** The drawing of these steps, null until it is made; made anew only under another `key`. */
export function useDrawing(key: string, steps: readonly Linked[] | null): Drawing | null {
  const [made, setMade] = useState<{ key: string; drawing: Drawing } | null>(null);
  const wanted = useRef(key);
  wanted.current = key;
  const draw = useDraw((drawing) => setMade({ key: wanted.current, drawing }));
  const ready = steps !== null;
  // biome-ignore lint/correctness/useExhaustiveDependencies: steps change all the time, what they wait for never does
  useEffect(() => {
    if (steps !== null) draw(steps, false);
  }, [key, ready, draw]);
  return made?.key === key ? made.drawing : null;
}
