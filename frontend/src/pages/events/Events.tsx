/** Events. */
import { createLazyRoute } from "@tanstack/react-router";
import { Page } from "../../ui/Page";

export const route = createLazyRoute("/events")({ component: Events });

function Events() {
  return <Page title="Events">{null}</Page>;
}
