/** Cancelling one task; many are cancelled by bulk.ts. */
import { api, take } from "../../api/client";

/** Cancel one task. */
export async function cancelOne(id: string): Promise<void> {
  await take(api.POST("/api/tasks/{id}/cancel", { params: { path: { id } } }));
}
