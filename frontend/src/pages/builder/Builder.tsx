/** Build a workflow. */
import { createLazyRoute } from "@tanstack/react-router";
import { Page } from "../../ui/Page";

export const route = createLazyRoute("/dags/new")({ component: Builder });

function Builder() {
  return <Page title="Build a workflow">{null}</Page>;
}
