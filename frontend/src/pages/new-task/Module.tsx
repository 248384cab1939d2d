/** A WebAssembly module from a file: kept by the server under its digest, or sent with the task where that cannot be. */
import { useState } from "react";
import { bring, canBring } from "../../api/blobs";
import { Problem } from "../../api/client";
import { Wrong } from "../../ui/Field";
import { bytes } from "../../ui/words";
import type { Draft } from "./draft";
import { useFault } from "./Field";
import styles from "./NewTask.module.css";

const INLINE_BYTES_MAX = 700_000;

export function Module({ draft, set }: { draft: Draft; set: (fields: Partial<Draft>) => void }) {
  const [says, setSays] = useState<string | null>(null);
  const wrong = useFault("/payload/module");
  const chosen = async (file: File | undefined) => {
    if (file === undefined) return;
    setSays(`Reading ${file.name}…`);
    try {
      const module = await moduleOf(file);
      set({ module, moduleName: file.name });
      setSays(null);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      setSays(`${error.message}${error instanceof Problem ? ` ${error.hint}` : ""}`);
    }
  };
  return (
    <div className={styles.module}>
      <label className="button">
        {draft.module === "" ? "Choose a .wasm file" : "Choose another"}
        <input
          type="file"
          accept=".wasm,application/wasm"
          className="unseen"
          onChange={(event) => void chosen(event.target.files?.[0])}
        />
      </label>
      <span role="status">
        {says ?? (draft.module === "" ? "It is built for WASI preview 1, or exports functions." : named(draft))}
      </span>
      <Wrong says={wrong} />
    </div>
  );
}

function named({ module, moduleName }: Draft): string {
  return module.startsWith("sha256:") ? `${moduleName}, ${module.slice(0, 19)}…` : moduleName;
}

/** The module as a payload names it. */
async function moduleOf(file: File): Promise<string> {
  if (canBring()) return bring(file);
  const content = await file.arrayBuffer();
  if (content.byteLength > INLINE_BYTES_MAX) {
    throw new Error(
      `${file.name} has ${bytes(content.byteLength)}: over plain HTTP a page can send ${bytes(INLINE_BYTES_MAX)} at most. Use anchor run ${file.name}, or HTTPS.`,
    );
  }
  let text = "";
  for (const byte of new Uint8Array(content)) text += String.fromCharCode(byte);
  return btoa(text);
}
