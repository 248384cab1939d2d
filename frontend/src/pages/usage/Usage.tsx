/** Usage. */
import { createLazyRoute } from "@tanstack/react-router";
import { Page } from "../../ui/Page";

export const route = createLazyRoute("/usage")({ component: Usage });

function Usage() {
  return <Page title="Usage">{null}</Page>;
}
