/** Clear who differed: what the case took from its reputation is given back. */
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { api, take } from "../../api/client";
import { queries } from "../../api/queries";
import { Dialog, Leave } from "../../ui/Dialog";
import { first } from "../../ui/first";
import { say, sayWhyNot } from "../../ui/Toast";
import styles from "./Case.module.css";
import type { CaseView } from "./evidence";

export function Clear({ view, close }: { view: CaseView; close: () => void }) {
  const [reason, setReason] = useState("");
  const names = view.dissenters.join(", ");
  const clearing = useMutation({
    mutationFn: () =>
      take(
        api.POST("/api/verification/cases/{id}/clear", {
          params: { path: { id: view.id } },
          body: { reason: reason.trim() },
        }),
      ),
    onError: sayWhyNot,
    onSuccess: (now) => {
      queries.setQueryData(["case", view.id], now);
      say(`${names} is cleared: this case counts no more.`);
      close();
    },
  });
  return (
    <Dialog title={`Clear ${names}`} close={close}>
      <p>
        It was right, or could not help it. What this case took from its reputation is given back, and a quarantine that
        hung on it is over. The result of the task stays as it is.
      </p>
      <form
        className={styles.act}
        onSubmit={(event) => {
          event.preventDefault();
          clearing.mutate();
        }}
      >
        <label>
          Why? It is kept with the case.
          <textarea
            className="field"
            rows={2}
            maxLength={500}
            value={reason}
            ref={first}
            onChange={(event) => setReason(event.target.value)}
          />
        </label>
        <div className={styles.row}>
          <button type="submit" className="button main" disabled={clearing.isPending}>
            Clear {names}
          </button>
          <Leave close={close} />
        </div>
      </form>
    </Dialog>
  );
}
