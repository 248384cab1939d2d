/** Which page is at which path. A new page: a line here, one in paths.json, one in shell/places.ts if it is listed. */
import { createRootRoute, createRoute, createRouter } from "@tanstack/react-router";
import { NotHere } from "./pages/NotHere";
import { readSearch } from "./pages/tasks/query";
import { Watch } from "./pages/watch/Watch";
import { Shell } from "./shell/Shell";
import { Loading } from "./ui/Said";

const root = createRootRoute({ component: Shell, notFoundComponent: NotHere });

const watch = createRoute({ getParentRoute: () => root, path: "/", component: Watch });
const tasks = createRoute({ getParentRoute: () => root, path: "/tasks", validateSearch: readSearch }).lazy(() =>
  import("./pages/tasks/Tasks").then((page) => page.route),
);
const task = createRoute({ getParentRoute: () => root, path: "/tasks/$id" }).lazy(() =>
  import("./pages/task/Task").then((page) => page.route),
);

export const router = createRouter({
  routeTree: root.addChildren([watch, tasks, task]),
  defaultPendingComponent: () => <Loading what="the page" />,
  // What a search box puts into the URL is text, not JSON.
  parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
  stringifySearch: (search) => {
    const text = new URLSearchParams(search as Record<string, string>).toString();
    return text === "" ? "" : `?${text}`;
  },
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
