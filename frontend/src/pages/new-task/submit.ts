/** Sending a task, once however often it is tried, and what the server finds wrong with it. */
import { useMutation } from "@tanstack/react-query";
import { useRef } from "react";
import { newKey } from "../../api/blobs";
import { api, Problem, take } from "../../api/client";
import type { Fault, Spec } from "./spec";

/** Sends a task; the same one again, after no answer came, is the same task. */
export function useSubmit(sent: (id: string) => void) {
  const last = useRef({ text: "", key: "" });
  const mutation = useMutation({
    mutationFn: (spec: Spec) => {
      const text = JSON.stringify(spec);
      if (last.current.text !== text) last.current = { text, key: newKey() };
      const headers = { "Idempotency-Key": last.current.key };
      return take(api.POST("/api/tasks", { body: spec as never, headers }));
    },
    onSuccess: (made) => {
      last.current = { text: "", key: "" };
      sent((made as { id: string }).id);
    },
  });
  return {
    send: mutation.mutate,
    isPending: mutation.isPending,
    error: mutation.error,
    /** What the server found wrong, as long as the task is the one it was asked about. */
    faultsOf: (spec: Spec): readonly Fault[] =>
      mutation.error instanceof Problem && last.current.text === JSON.stringify(spec) ? mutation.error.faults : [],
  };
}

/** What the server says is wrong, each thing once. */
export function told(fit: readonly Fault[] = [], refused: Error | null, sent: readonly Fault[]): Fault[] {
  const all = [...(refused instanceof Problem && refused.status === 400 ? refused.faults : fit), ...sent];
  return [...new Map(all.map((one) => [`${one.pointer} ${one.message}`, one])).values()];
}
