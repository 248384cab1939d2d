/** Lays graphs out beside the page, so that the page never waits for it. */
import type { Linked } from "./fold";
import { draw } from "./layout";

export interface Order {
  number: number;
  steps: readonly Linked[];
  whole: boolean;
}

self.onmessage = ({ data }: MessageEvent<Order>) => {
  self.postMessage({ number: data.number, drawing: draw(data.steps, data.whole) });
};
