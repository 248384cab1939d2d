/** Nodes. */
import { createLazyRoute } from "@tanstack/react-router";
import { Page } from "../../ui/Page";

export const route = createLazyRoute("/nodes")({ component: Nodes });

function Nodes() {
  return <Page title="Nodes">{null}</Page>;
}
