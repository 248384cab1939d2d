/** Running a run again, whole or in part: the new run is opened, or it is said why there is none. */
import { useNavigate } from "@tanstack/react-router";
import { Problem } from "../../api/client";
import { sayWhyNot } from "../../ui/Toast";
import { type Again, runAgain } from "./queries";

export function useAgain(): (id: string, what: Again) => Promise<void> {
  const navigate = useNavigate();
  return async (id, what) => {
    try {
      const made = await runAgain(id, what);
      await navigate({ to: "/dags/$id", params: { id: made.id } });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      sayWhyNot(error);
    }
  };
}
