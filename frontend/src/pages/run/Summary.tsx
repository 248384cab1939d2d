/** How a run is going, in a few figures, and what can be done with it as a whole. */
import { useMutation } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { problemOf } from "../../api/client";
import { useLiveness } from "../../api/liveness";
import { queries } from "../../api/queries";
import { doneOf, inWords, StateBar } from "../../graph/StateBar";
import { AsCurl, copy } from "../../ui/AsCurl";
import { Fact, Facts } from "../../ui/Facts";
import { Hint } from "../../ui/Hint";
import { Menu } from "../../ui/Menu";
import { StateMark } from "../../ui/StateMark";
import { sayWhyNot } from "../../ui/Toast";
import { useNow } from "../../ui/useNow";
import { at, count, lasting } from "../../ui/words";
import { useWhyNot } from "../workflows/may";
import { cancelRun, isRunOver, type RunView } from "../workflows/queries";
import { useAgain } from "../workflows/useAgain";
import styles from "./Run.module.css";

export function Acts({ run }: { run: RunView }) {
  const whyNot = useWhyNot();
  const again = useAgain();
  const cancel = useMutation({
    mutationFn: () => cancelRun(run.id),
    onError: sayWhyNot,
    onSuccess: () => queries.invalidateQueries({ queryKey: ["run", run.id] }),
  });
  const fails = Object.keys(run.counts).some((state) =>
    ["failed", "inconclusive", "cancelled", "skipped"].includes(state),
  );
  return (
    <>
      <AsCurl path={`/api/dags/${run.id}`} />
      <Menu
        word="Copy"
        choices={[
          { word: "Its id", run: () => void copy(run.id) },
          { word: "The graph as JSON", run: () => void copyGraph(run.id, "json") },
          { word: "The graph for Mermaid", run: () => void copyGraph(run.id, "mermaid") },
          { word: "The graph for Graphviz", run: () => void copyGraph(run.id, "dot") },
        ]}
      />
      <Link to="/dags/new" search={{ from: run.id }} className="button">
        Change and run
      </Link>
      {isRunOver(run.state) && fails && whyNot === null && (
        <button type="button" className="button" onClick={() => void again(run.id, { onlyFailed: true })}>
          Run what failed
        </button>
      )}
      {isRunOver(run.state) ? (
        <button
          type="button"
          className="button main"
          disabled={whyNot !== null}
          title={whyNot ?? undefined}
          onClick={() => void again(run.id, {})}
        >
          Run again
        </button>
      ) : (
        <button
          type="button"
          className="button"
          disabled={cancel.isPending || run.state === "cancelling" || whyNot !== null}
          title={whyNot ?? undefined}
          onClick={() => cancel.mutate()}
        >
          Cancel
        </button>
      )}
    </>
  );
}

async function copyGraph(id: string, format: "json" | "dot" | "mermaid"): Promise<void> {
  // Two of the three are text, so it is taken as it comes.
  const answer = await fetch(`/api/dags/${encodeURIComponent(id)}/graph?format=${format}`);
  if (answer.ok) await copy(await answer.text());
  else {
    const told: unknown = await answer.json().catch(() => null);
    sayWhyNot(problemOf(told, answer.status));
  }
}

export function RunFacts({ run }: { run: RunView }) {
  const { live } = useLiveness();
  const over = isRunOver(run.state);
  const now = useNow(!over && live);
  const until = run.finishedAt === null ? now : Date.parse(run.finishedAt);
  const { done, all } = doneOf(run.counts);
  return (
    <>
      <Facts>
        <Fact name="state">
          <StateMark state={run.state} />
        </Fact>
        <Fact name="steps" className={styles.progress}>
          <span className={styles.done} title={inWords(run.counts)}>
            <StateBar counts={run.counts} />
            <span className="mono">
              {count(done)} of {count(all)} over
            </span>
          </span>
        </Fact>
        <Fact name={over ? "took" : "running for"}>{lasting(until - Date.parse(run.createdAt))}</Fact>
        <Fact name="scheduled">
          {at(run.createdAt)} by <bdi>{run.owner}</bdi>
        </Fact>
        <Fact name="id">
          <span className="mono">{run.id}</span>
        </Fact>
        {run.rerunOf !== null && (
          <Fact name="repeats">
            <Link to="/dags/$id" params={{ id: run.rerunOf }} className="mono">
              {run.rerunOf}
            </Link>
          </Fact>
        )}
      </Facts>
      {run.reason !== null && (
        <p className={styles.reason}>
          <b>{run.reason.message}</b> <Hint says={run.reason.hint} />
        </p>
      )}
    </>
  );
}
