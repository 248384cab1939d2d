/** Verification. */
import { createLazyRoute } from "@tanstack/react-router";
import { Page } from "../../ui/Page";

export const route = createLazyRoute("/cases")({ component: Verification });

function Verification() {
  return <Page title="Verification">{null}</Page>;
}
