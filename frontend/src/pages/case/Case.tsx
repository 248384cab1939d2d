/** One case: results side by side, where they differ, what speaks for and against fraud, and what to do about it. */
import { createLazyRoute, Link, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { useMay } from "../../api/session";
import { useKeys } from "../../keyboard/keys";
import { AsCurl } from "../../ui/AsCurl";
import { Page } from "../../ui/Page";
import { Panel } from "../../ui/Panel";
import { Failed, Loading } from "../../ui/Said";
import { StateMark } from "../../ui/StateMark";
import { at } from "../../ui/words";
import { caseMark } from "../verification/states";
import { Block } from "./Block";
import styles from "./Case.module.css";
import { Clear } from "./Clear";
import { Diff, useCompared } from "./Diff";
import { type CaseView, evidenceOf } from "./evidence";
import { History } from "./History";
import { useCase } from "./queries";
import { Results } from "./Results";
import { reasonsAbout } from "./reasons";

export const route = createLazyRoute("/cases/$id")({ component: Case });

function Case() {
  const { id } = useParams({ from: "/cases/$id" });
  const found = useCase(id);
  if (found.data !== undefined) return <Found key={id} view={found.data} />;
  return (
    <Page title="Case">
      {found.isPending ? (
        <Loading what="the case" />
      ) : (
        <Failed what="the case" error={found.error} again={() => void found.refetch()} />
      )}
    </Page>
  );
}

function Found({ view }: { view: CaseView }) {
  const may = useMay("operator");
  const [asking, setAsking] = useState<"block" | "clear" | null>(null);
  const [about, setAbout] = useState(view.dissenters[0] ?? "");
  const evidence = evidenceOf(view);
  const winner = evidence?.testimonies.find((one) => one.agreed);
  const differing = evidence?.testimonies.filter((one) => !one.agreed) ?? [];
  const own = differing.find((one) => one.nodeId === about);
  const compared = useCompared(winner, own);
  const isOpen = view.state === "open";
  const canAct = may && isOpen;
  useKeys(
    canAct
      ? [
          { keys: "c", says: "clear the node", run: () => setAsking("clear") },
          { keys: "b", says: "block the node", run: () => setAsking("block") },
        ]
      : [],
  );
  const whom = view.dissenters.length === 1 ? view.dissenters[0] : `all ${view.dissenters.length}`;
  return (
    <div className={styles.whole}>
      <Page
        title={`${view.taskName || "Case"}: results disagree`}
        aside={
          <>
            <AsCurl path={`/api/verification/cases/${view.id}`} />
            {may && isOpen && (
              <>
                <button type="button" className="button" onClick={() => setAsking("clear")}>
                  Clear {view.dissenters.length === 1 ? "the node" : "the nodes"}
                </button>
                <button type="button" className="button main" onClick={() => setAsking("block")}>
                  Block {whom}
                </button>
              </>
            )}
          </>
        }
      >
        <div className={styles.case}>
          <Summary view={view} />
          <Results view={view} about={about} choose={setAbout} />
          <Panel title="Where they differ">
            <Diff compared={compared} node={about} told={evidence?.differences[differing.indexOf(own as never)]} />
          </Panel>
          <Why view={view} about={about} compared={compared} />
          <History view={view} may={may} />
        </div>
        {asking === "block" && <Block view={view} close={() => setAsking(null)} />}
        {asking === "clear" && <Clear view={view} close={() => setAsking(null)} />}
      </Page>
    </div>
  );
}

const NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
const inWords = (value: number) => NUMBERS[value] ?? String(value);
const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

function Summary({ view }: { view: CaseView }) {
  const agreed = view.votes.filter((vote) => vote.agreed).length;
  const others = view.votes.length - agreed;
  return (
    <p className={styles.summary}>
      <StateMark {...caseMark(view.state)} /> Task{" "}
      <Link to="/tasks/$id" params={{ id: view.taskId }} className="mono">
        {view.taskId}
      </Link>{" "}
      of <bdi>{view.owner}</bdi> ran on {inWords(view.votes.length)} nodes. {capital(inWords(agreed))} gave the same
      answer, {inWords(others)} did not. The result used was the majority's.{" "}
      {view.evidenceUntil !== null && (
        <>
          Evidence is kept until <b>{dayOf(view.evidenceUntil)}</b>.
        </>
      )}
      {view.reason !== null && (
        <>
          {" "}
          <b>
            <bdi>{view.reason.message}</bdi>
          </b>
        </>
      )}
    </p>
  );
}

function dayOf(moment: string): string {
  return new Date(moment).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
}

interface WhyProps {
  view: CaseView;
  about: string;
  compared: ReturnType<typeof useCompared>;
}

/** Both sides, always: a dissent is evidence and no verdict. */
function Why({ view, about, compared }: WhyProps) {
  const { likely, unlikely } = reasonsAbout(view, evidenceOf(view), compared.data?.changes ?? null, about);
  return (
    <div className={styles.why}>
      <section>
        <h2>Why it is likely fraud</h2>
        <Sentences reasons={likely} none="Nothing in the evidence speaks for it beyond the answer itself." />
      </section>
      <section>
        <h2>Why it may not be</h2>
        <Sentences reasons={unlikely} none="Nothing in the evidence excuses it; a machine may still be broken." />
      </section>
      <p className="mute">
        Opened {at(view.openedAt)}. A case is evidence and no verdict: whoever differs may be honest, and its memory
        broken.
      </p>
    </div>
  );
}

function Sentences({ reasons, none }: { reasons: readonly string[]; none: string }) {
  if (reasons.length === 0) return <p className="mute">{none}</p>;
  return (
    <ul>
      {reasons.map((reason) => (
        <li key={reason}>
          <bdi>{capital(reason)}.</bdi>
        </li>
      ))}
    </ul>
  );
}
