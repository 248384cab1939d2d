/** Files brought to the server, which keeps each under its SHA-256; and the hexadecimal digits of bytes. */
import { api, take } from "./client";

/** Bytes as hexadecimal digits. */
function hexOf(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A key for `Idempotency-Key`; not randomUUID, which a page that came over plain HTTP does not have. */
export function newKey(): string {
  return hexOf(crypto.getRandomValues(new Uint8Array(16)));
}

/** Whether this page can bring files: browsers count digests only on pages that came over HTTPS or from this machine. */
export function canBring(): boolean {
  return crypto.subtle !== undefined;
}

/** Bring a file, and give the name it has from then on: `sha256:…`. */
export async function bring(file: Blob): Promise<string> {
  const content = await file.arrayBuffer();
  const sha256 = hexOf(new Uint8Array(await crypto.subtle.digest("SHA-256", content)));
  await take(
    api.PUT("/api/blobs/{sha256}", {
      params: { path: { sha256 } },
      body: content as never,
      bodySerializer: (body: unknown) => body as ArrayBuffer,
      headers: { "Content-Type": "application/octet-stream" },
    }),
  );
  return `sha256:${sha256}`;
}
