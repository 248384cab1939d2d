/** Case. */
import { createLazyRoute } from "@tanstack/react-router";
import { Page } from "../../ui/Page";

export const route = createLazyRoute("/cases/$id")({ component: Case });

function Case() {
  return <Page title="Case">{null}</Page>;
}
