/** Whether who is signed in may run things, and why not where they may not; the server has the last word. */
import { may, useSession } from "../../api/session";

/** Null where they may. */
export function useWhyNot(): string | null {
  const role = useSession().data?.role;
  if (role === undefined || may(role, "submitter")) return null;
  return `Your key is a ${role}'s: it looks on. Whoever runs this server can give you one that may run things.`;
}
