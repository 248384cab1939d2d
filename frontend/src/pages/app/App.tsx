/** App. */
import { createLazyRoute } from "@tanstack/react-router";
import { Page } from "../../ui/Page";

export const route = createLazyRoute("/clusters/$id")({ component: App });

function App() {
  return <Page title="App">{null}</Page>;
}
