/** How many nodes fit what is being written, and how long it would likely wait, as it is written. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { api, Problem, take } from "../../api/client";
import { count, lasting, many } from "../../ui/words";
import styles from "./NewTask.module.css";
import { outline, type Spec } from "./spec";

const PAUSE_MS = 300;
const AGAIN_MS = 5000;

/** The answer of the server to the outline of a task, asked for once the writer pauses; null: it cannot be asked. */
export function useFit(spec: Spec | null) {
  const asked = useLater(spec === null ? null : JSON.stringify(outline(spec)));
  return useQuery({
    queryKey: ["fit", asked],
    enabled: asked !== null,
    queryFn: ({ signal }) => take(api.POST("/api/tasks/fit", { body: JSON.parse(asked!) as never, signal })),
    placeholderData: keepPreviousData,
    refetchInterval: AGAIN_MS,
    retry: false,
  });
}

function useLater(text: string | null): string | null {
  const [later, setLater] = useState(text);
  useEffect(() => {
    const timer = window.setTimeout(() => setLater(text), PAUSE_MS);
    return () => window.clearTimeout(timer);
  }, [text]);
  return later;
}

type Answer = NonNullable<ReturnType<typeof useFit>["data"]>;

interface FitLineProps {
  fit: ReturnType<typeof useFit>;
  runtime: string;
  /** Let nodes of one owner check each other, where that is what is missing. */
  allowSameOwner: (() => void) | null;
}

export function FitLine({ fit, runtime, allowSameOwner }: FitLineProps) {
  const answer = fit.data;
  const problem = fit.error instanceof Problem && fit.error.status !== 400 ? fit.error : null;
  const unclear = problem === null && (!fit.isEnabled || fit.error !== null);
  return (
    <div className={styles.fit}>
      <p role="status">
        {problem !== null
          ? `How many nodes fit is not known: ${problem.message}`
          : unclear
            ? "The nodes that fit are counted once what is wrong above is mended."
            : answer === undefined
              ? "Counting the nodes that fit…"
              : fitting(answer)}{" "}
        {answer !== undefined && problem === null && !unclear && <Wait answer={answer} />}
      </p>
      {answer !== undefined && answer.fit > 0 && answer.apart < answer.copies && (
        <p>
          Its {answer.copies} copies go to nodes of {answer.copies} owners, and those that fit belong to {answer.apart}:
          it waits until others join.{" "}
          {allowSameOwner !== null && (
            <button type="button" className="link" onClick={allowSameOwner}>
              Let nodes of one owner check each other
            </button>
          )}
        </p>
      )}
      {answer !== undefined && answer.fit === 0 && answer.nodes > 0 && (
        <ul>
          {answer.reasons.map((one) => (
            <li key={one.reason}>
              {many(one.nodes, "node")}: <bdi>{one.reason}</bdi>
            </li>
          ))}
        </ul>
      )}
      <p className="mute">{runtime}</p>
    </div>
  );
}

function fitting({ nodes, fit }: Answer): string {
  if (nodes === 0) return "There is no node yet: what you run waits until one joins.";
  if (fit === 0) return `None of ${many(nodes, "node")} fits. Sent now, it waits for one.`;
  return `${count(fit)} of ${many(nodes, "node fits", "nodes fit")}.`;
}

function Wait({ answer }: { answer: Answer }) {
  if (answer.fit === 0 || answer.apart < answer.copies) return null;
  if (answer.likelyWaitMs === null) return <>All of them are busy.</>;
  return (
    <>
      Likely wait <b>{answer.likelyWaitMs < 1000 ? "under 1 s" : `about ${lasting(answer.likelyWaitMs)}`}</b>.
    </>
  );
}
