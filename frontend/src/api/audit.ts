/** The audit trail as entries: without `as` the server answers with a list, which its types of files do not tell. */
import { api, takeWhole } from "./client";
import { nextCursor } from "./queries";
import type { components, paths } from "./schema";

export type AuditEntry = components["schemas"]["AuditEntry"];
type Asked = Omit<NonNullable<paths["/api/audit"]["get"]["parameters"]["query"]>, "as">;

/** Entries, newest first, how many there are in all (null where that is not counted), and where they go on. */
export async function entriesOf(query: Asked, signal: AbortSignal) {
  const { data, response } = await takeWhole(api.GET("/api/audit", { params: { query }, signal }));
  const total = response.headers.get("x-total-count");
  return {
    rows: data as AuditEntry[],
    total: total === null ? null : Number(total),
    next: nextCursor(response),
  };
}
