/** A field of the task, which knows from its pointer what is wrong with it. */
import { createContext, useContext } from "react";
import * as ui from "../../ui/Field";
import type { Fault } from "./spec";

/** What is wrong with the task. */
export const Faults = createContext<readonly Fault[]>([]);

/** What is wrong at a pointer, or below it, in words; null where nothing is. */
export function useFault(pointer: string): string | null {
  const found = useContext(Faults).filter((one) => one.pointer === pointer || one.pointer.startsWith(`${pointer}/`));
  return found.length === 0 ? null : found.map((one) => one.message).join("; ");
}

type Pointed<Props> = Omit<Props, "wrong"> & { pointer: string };

export function Text({ pointer, ...field }: Pointed<React.ComponentProps<typeof ui.Text>>) {
  return <ui.Text size={8} {...field} wrong={useFault(pointer)} />;
}

export function Choice({ pointer, ...field }: Pointed<React.ComponentProps<typeof ui.Choice>>) {
  return <ui.Choice {...field} wrong={useFault(pointer)} />;
}
