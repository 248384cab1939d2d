/** Keys and people. */
import { createLazyRoute } from "@tanstack/react-router";
import { Page } from "../../ui/Page";

export const route = createLazyRoute("/keys")({ component: Access });

function Access() {
  return <Page title="Keys and people">{null}</Page>;
}
