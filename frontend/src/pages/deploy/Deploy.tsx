/** Deploy an app. */
import { createLazyRoute } from "@tanstack/react-router";
import { Page } from "../../ui/Page";

export const route = createLazyRoute("/clusters/new")({ component: Deploy });

function Deploy() {
  return <Page title="Deploy an app">{null}</Page>;
}
