/** One run of a workflow: its graph, its steps and their line of time, all with one selection. */
import { createLazyRoute, useParams } from "@tanstack/react-router";
import { Page } from "../../ui/Page";
import { Failed, Loading } from "../../ui/Said";
import { isRunOver, type RunView } from "../workflows/queries";
import { Chart } from "./Chart";
import { useRun, useSteps } from "./queries";
import { Acts, RunFacts } from "./Summary";

export const route = createLazyRoute("/dags/$id")({ component: Run });

function Run() {
  const { id } = useParams({ from: "/dags/$id" });
  const { run, pending, error, again } = useRun(id);
  if (run !== undefined) return <Found key={id} run={run} />;
  return (
    <Page title="Run of a workflow">
      {pending || error === null ? <Loading what="the run" /> : <Failed what="the run" error={error} again={again} />}
    </Page>
  );
}

function Found({ run }: { run: RunView }) {
  const { steps, error, again } = useSteps(run.id, run.version, isRunOver(run.state));
  return (
    <Page title={run.name} aside={<Acts run={run} />} fill>
      <RunFacts run={run} />
      {steps !== null ? (
        <Chart run={run} steps={steps} />
      ) : error !== null ? (
        <Failed what="its steps" error={error} again={again} />
      ) : (
        <Loading what="its steps" />
      )}
    </Page>
  );
}
