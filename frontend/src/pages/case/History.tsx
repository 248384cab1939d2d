/** What was done about a case: runs on more nodes, the judgement, how to undo it; and who did it. */
import { keepPreviousData, useMutation, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { entriesOf } from "../../api/audit";
import { api, take } from "../../api/client";
import { PACE_MS, queries } from "../../api/queries";
import { Panel } from "../../ui/Panel";
import { StateMark } from "../../ui/StateMark";
import { say, sayWhyNot } from "../../ui/Toast";
import { at } from "../../ui/words";
import styles from "./Case.module.css";
import type { CaseView } from "./evidence";

export function History({ view, may }: { view: CaseView; may: boolean }) {
  const copies = view.votes.length + 2;
  const again = useMutation({
    mutationFn: () =>
      take(
        api.POST("/api/verification/cases/{id}/rerun", {
          params: { path: { id: view.id } },
          body: { reason: "run again from the case" },
        }),
      ),
    onError: sayWhyNot,
    onSuccess: () => {
      say(`It runs again on ${copies} nodes.`);
      void queries.invalidateQueries({ queryKey: ["case", view.id] });
    },
  });
  const undo = useMutation({
    mutationFn: (node: string) => take(api.POST("/api/nodes/{id}/resume", { params: { path: { id: node } } })),
    onError: sayWhyNot,
    onSuccess: (_, node) => {
      say(`${node} is in service again.`);
      void queries.invalidateQueries({ queryKey: ["case", view.id] });
    },
  });
  const blocked = view.voters.filter((one) => view.dissenters.includes(one.nodeId) && one.status === "blocked");
  return (
    <Panel title="What was done">
      <ul className={styles.history}>
        {view.reruns.map((task) => (
          <Rerun key={task} task={task} />
        ))}
        {blocked.map((one) => (
          <li key={one.nodeId}>
            <StateMark state="blocked" word={`${one.nodeId} is blocked`} />
            {may && (
              <button
                type="button"
                className="button"
                disabled={undo.isPending}
                onClick={() => undo.mutate(one.nodeId)}
              >
                Undo: take {one.nodeId} back into service
              </button>
            )}
          </li>
        ))}
        <li>
          {may ? (
            <button type="button" className="button" disabled={again.isPending} onClick={() => again.mutate()}>
              Run it again on {copies} nodes
            </button>
          ) : (
            <span className="mute">Judging a case takes the role of an operator.</span>
          )}
        </li>
      </ul>
      {may && <Record view={view} />}
    </Panel>
  );
}

/** The task once more, and what came of it. */
function Rerun({ task }: { task: string }) {
  const found = useQuery({
    queryKey: ["task", task],
    queryFn: ({ signal }) => take(api.GET("/api/tasks/{id}", { params: { path: { id: task } }, signal })),
    refetchInterval: (query) => (query.state.data?.finishedAt ? false : PACE_MS),
  });
  const round = found.data?.verification;
  return (
    <li>
      {found.data !== undefined && <StateMark state={found.data.state} />}
      <span>
        run again as{" "}
        <Link to="/tasks/$id" params={{ id: task }} className="mono">
          {task}
        </Link>
        {round?.state === "agreed" && `: agreed ${round.agreed} of ${round.votes.length}`}
      </span>
    </li>
  );
}

/** Who did what about this case, from the audit trail. */
function Record({ view }: { view: CaseView }) {
  const entries = useQuery({
    // What is done about the case is in the record at once.
    queryKey: ["audit", view.id, view.state, view.reruns.length],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => entriesOf({ subject: view.id, limit: 20 }, signal),
    refetchInterval: PACE_MS * 5,
  });
  const found = entries.data?.rows ?? [];
  if (found.length === 0) return null;
  return (
    <ul className={styles.record} aria-label="The record">
      {found.map((entry) => (
        <li key={entry.number}>
          <span className="mute">{at(entry.at)}</span> <bdi>{entry.message}</bdi>
        </li>
      ))}
    </ul>
  );
}
