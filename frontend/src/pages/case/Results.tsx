/** The answers of a case side by side: who gave it, whether it agrees, its digest, how long it took, and the past. */
import { Link } from "@tanstack/react-router";
import looks from "../../ui/looks.module.css";
import { StateMark } from "../../ui/StateMark";
import { count, lasting, many, short } from "../../ui/words";
import { nodeMark } from "../verification/states";
import styles from "./Case.module.css";
import type { CaseView } from "./evidence";
import { MUCH_FASTER, tookMs } from "./reasons";

interface ResultsProps {
  view: CaseView;
  about: string;
  choose: (node: string) => void;
}

export function Results({ view, about, choose }: ResultsProps) {
  const slowest = Math.max(...view.votes.filter((vote) => vote.agreed).map(tookMs));
  return (
    <div className={looks.wide}>
      <table className={`${looks.table} ${styles.results}`}>
        <caption className="unseen">Results</caption>
        <thead>
          <tr>
            <th scope="col">node</th>
            <th scope="col" className={looks.folds}>
              owner
            </th>
            <th scope="col">result</th>
            <th scope="col" className={looks.foldsFirst}>
              sha256
            </th>
            <th scope="col">time</th>
            <th scope="col">past 30 d</th>
            <th scope="col" className={looks.foldsFirst}>
              now
            </th>
          </tr>
        </thead>
        <tbody>
          {view.votes.map((vote) => {
            const voter = view.voters.find((one) => one.nodeId === vote.nodeId);
            const flags = voter?.flags.length ?? 0;
            const took = tookMs(vote);
            return (
              <tr key={vote.copy} data-differs={!vote.agreed}>
                <th scope="row">
                  <Link to="/nodes/$id" params={{ id: vote.nodeId }} className="mono">
                    {vote.nodeId}
                  </Link>
                </th>
                <td className={looks.folds}>
                  <bdi>{vote.owner}</bdi>
                </td>
                <td>
                  <StateMark state={vote.agreed ? "succeeded" : "flagged"} word={vote.agreed ? "agrees" : "differs"} />{" "}
                  {!vote.agreed && view.dissenters.length > 1 && vote.nodeId !== about && (
                    <button type="button" className="link" onClick={() => choose(vote.nodeId)}>
                      compare<span className="unseen"> {vote.nodeId}</span>
                    </button>
                  )}
                </td>
                <td className={`mono ${looks.foldsFirst}`} title={vote.answer}>
                  {short(vote.answer)}
                </td>
                <td className={`mono ${!vote.agreed && slowest / took >= MUCH_FASTER ? styles.odd : ""}`}>
                  {lasting(took)}
                </td>
                <td>
                  {count(voter?.checked ?? 0)} right ·{" "}
                  <span className={flags > 0 ? styles.flags : ""}>{many(flags, "flag")}</span>
                </td>
                <td className={looks.foldsFirst}>
                  <StateMark {...nodeMark(voter?.status ?? "gone")} />
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
