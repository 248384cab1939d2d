/** Run a task. */
import { createLazyRoute } from "@tanstack/react-router";
import { Page } from "../../ui/Page";

export const route = createLazyRoute("/tasks/new")({ component: NewTask });

function NewTask() {
  return <Page title="Run a task">{null}</Page>;
}
