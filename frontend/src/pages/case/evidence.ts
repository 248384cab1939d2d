/** What a case can be checked by, as the server keeps it, and the bytes of each answer. */
import type { components } from "../../api/schema";

export type CaseView = components["schemas"]["CaseView"];
export type Vote = CaseView["votes"][number];

interface KeptResult {
  /** Base64 of the JSON text. */
  json?: string;
  blob?: string;
  size?: number;
  files?: { name: string; sha256: string }[];
}

export interface Testimony {
  nodeId: string;
  agreed: boolean;
  answer: string;
  result: KeptResult | null;
  reason: { code: string; message: string } | null;
}

export interface Difference {
  where: string;
  offset: number;
  agreed: string;
  dissent: string;
}

export interface Evidence {
  payload: { sourceCode?: string; language?: string } | null;
  verify: { sameOwner?: boolean; compare?: unknown };
  testimonies: Testimony[];
  differences: Difference[];
}

/** Bytes of an answer that are compared here; the whole of it is in its blob. */
const BYTES_MAX = 1024 * 1024;

/** The evidence of a case; null where it is too large to show, or gone. */
export function evidenceOf(view: CaseView): Evidence | null {
  return view.evidence === null || view.evidence === undefined ? null : (view.evidence as Evidence);
}

/** The bytes a node answered with; null where it gave none. */
export async function bytesOf(testimony: Testimony, signal?: AbortSignal): Promise<Uint8Array | null> {
  const { result } = testimony;
  if (result === null) return null;
  if (result.json) return Uint8Array.from(atob(result.json), (letter) => letter.charCodeAt(0));
  if (!result.blob) return null;
  const headers = { Range: `bytes=0-${BYTES_MAX - 1}` };
  const response = await fetch(`/api/blobs/${result.blob}`, { headers, ...(signal === undefined ? {} : { signal }) });
  return response.ok ? new Uint8Array(await response.arrayBuffer()) : null;
}
