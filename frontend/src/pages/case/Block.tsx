/** Block who differed: it needs a reason, says how much of its past is in doubt, and offers to run that again. */
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { api, take } from "../../api/client";
import { queries } from "../../api/queries";
import { Dialog, Leave } from "../../ui/Dialog";
import { first } from "../../ui/first";
import { sayWhyNot } from "../../ui/Toast";
import { count, many as inWords } from "../../ui/words";
import styles from "./Case.module.css";
import type { CaseView } from "./evidence";
import { runAgain, useDoubtful } from "./queries";

const REASON_MAX = 500;

export function Block({ view, close }: { view: CaseView; close: () => void }) {
  const [reason, setReason] = useState("");
  const [blocked, setBlocked] = useState(false);
  const names = view.dissenters.join(", ");
  const blocking = useMutation({
    mutationFn: () =>
      take(
        api.POST("/api/verification/cases/{id}/block", {
          params: { path: { id: view.id } },
          body: { reason: reason.trim() },
        }),
      ),
    onError: sayWhyNot,
    onSuccess: (now) => {
      queries.setQueryData(["case", view.id], now);
      setBlocked(true);
    },
  });
  return (
    <Dialog title={blocked ? `${names} is blocked` : `Block ${names}`} close={close}>
      {!blocked && (
        <p>
          It gets no work any more, what it has goes to other nodes, and its apps move. You can take it back into
          service later: that, and this, is in the record with your name.
        </p>
      )}
      {view.dissenters.map((node) => (
        <Doubt key={node} node={node} blocked={blocked} />
      ))}
      {blocked ? (
        <div>
          <button type="button" className="button" onClick={close}>
            Done
          </button>
        </div>
      ) : (
        <form
          className={styles.act}
          onSubmit={(event) => {
            event.preventDefault();
            if (reason.trim() !== "") blocking.mutate();
          }}
        >
          <label>
            Why? It is kept with the case.
            <textarea
              className="field"
              rows={3}
              required
              maxLength={REASON_MAX}
              value={reason}
              ref={first}
              onChange={(event) => setReason(event.target.value)}
            />
          </label>
          <div className={styles.row}>
            <button type="submit" className="button main" disabled={reason.trim() === "" || blocking.isPending}>
              Block {names}
            </button>
            <Leave close={close} />
            {reason.trim() === "" && <span className="mute">It needs a reason.</span>}
          </div>
        </form>
      )}
    </Dialog>
  );
}

/** How many answers of a node nobody has checked, and the offer to have them once more. */
function Doubt({ node, blocked }: { node: string; blocked: boolean }) {
  const doubtful = useDoubtful(node, true);
  const [told, setTold] = useState("");
  const again = useMutation({
    mutationFn: () => runAgain(node, (so) => setTold(`${count(so.done)} run again so far…`)),
    onError: (error: Error) => setTold(error.message),
    onSuccess: (so) =>
      setTold(
        `${count(so.done)} run again${so.failed > 0 ? `, ${count(so.failed)} not: ${so.firstProblem}` : ". They go to other nodes."}`,
      ),
  });
  const many = doubtful.data;
  if (doubtful.isError)
    return <p className="mute">How many of its results are in doubt is not known: {doubtful.error.message}</p>;
  if (many === undefined) return <p className="mute">Counting the results of {node} that are in doubt…</p>;
  return (
    <div>
      <p>
        {many === 0 ? (
          <>
            No result of <b className="mono">{node}</b> that is kept went unchecked.
          </>
        ) : (
          <>
            <b>{inWords(many, "past result")}</b> of <b className="mono">{node}</b> {many === 1 ? "is" : "are"} in
            doubt: nobody checked {many === 1 ? "it" : "them"}.
          </>
        )}
      </p>
      {many > 0 && blocked && (
        <p>
          <button
            type="button"
            className="button"
            disabled={again.isPending || again.isSuccess}
            onClick={() => again.mutate()}
          >
            Run {many === 1 ? "it" : `all ${count(many)}`} again
          </button>{" "}
          <span role="status">{told}</span>
        </p>
      )}
      {many > 0 && !blocked && (
        <p className="mute">Once it is blocked you can run {many === 1 ? "it" : "them"} again.</p>
      )}
    </div>
  );
}
