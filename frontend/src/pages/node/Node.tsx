/** Node. */
import { createLazyRoute } from "@tanstack/react-router";
import { Page } from "../../ui/Page";

export const route = createLazyRoute("/nodes/$id")({ component: Node });

function Node() {
  return <Page title="Node">{null}</Page>;
}
