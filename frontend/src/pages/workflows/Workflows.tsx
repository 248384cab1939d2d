/** Workflows. */
import { createLazyRoute } from "@tanstack/react-router";
import { Page } from "../../ui/Page";

export const route = createLazyRoute("/dags")({ component: Workflows });

function Workflows() {
  return <Page title="Workflows">{null}</Page>;
}
