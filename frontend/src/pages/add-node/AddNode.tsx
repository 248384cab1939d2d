/** Add a node. */
import { createLazyRoute } from "@tanstack/react-router";
import { Page } from "../../ui/Page";

export const route = createLazyRoute("/nodes/add")({ component: AddNode });

function AddNode() {
  return <Page title="Add a node">{null}</Page>;
}
