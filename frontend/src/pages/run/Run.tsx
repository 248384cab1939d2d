/** Run. */
import { createLazyRoute } from "@tanstack/react-router";
import { Page } from "../../ui/Page";

export const route = createLazyRoute("/dags/$id")({ component: Run });

function Run() {
  return <Page title="Run">{null}</Page>;
}
