/** Apps. */
import { createLazyRoute } from "@tanstack/react-router";
import { Page } from "../../ui/Page";

export const route = createLazyRoute("/apps")({ component: Apps });

function Apps() {
  return <Page title="Apps">{null}</Page>;
}
