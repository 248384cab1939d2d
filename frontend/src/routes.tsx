/** Which page is at which path. A new page: a line here, one in paths.json, one in shell/places.ts if it is listed. */
import { createRootRoute, createRoute, createRouter } from "@tanstack/react-router";
import { NotHere } from "./pages/NotHere";
import { readSearch } from "./pages/tasks/query";
import { Watch } from "./pages/watch/Watch";
import { Broken } from "./shell/Broken";
import { Shell } from "./shell/Shell";
import { Loading } from "./ui/Said";

/** The search part of an address as it is: words under names; pages read their own. */
function readText(search: Record<string, unknown>): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(search).flatMap(([name, value]) => (typeof value === "string" ? [[name, value]] : [])),
  );
}

const root = createRootRoute({ component: Shell, notFoundComponent: NotHere });

const watch = createRoute({ getParentRoute: () => root, path: "/", component: Watch, validateSearch: readText });
const tasks = createRoute({ getParentRoute: () => root, path: "/tasks", validateSearch: readSearch }).lazy(() =>
  import("./pages/tasks/Tasks").then((page) => page.route),
);
const task = createRoute({ getParentRoute: () => root, path: "/tasks/$id", validateSearch: readText }).lazy(() =>
  import("./pages/task/Task").then((page) => page.route),
);

const newTask = createRoute({ getParentRoute: () => root, path: "/tasks/new", validateSearch: readText }).lazy(() =>
  import("./pages/new-task/NewTask").then((page) => page.route),
);
const workflows = createRoute({ getParentRoute: () => root, path: "/dags", validateSearch: readText }).lazy(() =>
  import("./pages/workflows/Workflows").then((page) => page.route),
);
const builder = createRoute({ getParentRoute: () => root, path: "/dags/new", validateSearch: readText }).lazy(() =>
  import("./pages/builder/Builder").then((page) => page.route),
);
const run = createRoute({ getParentRoute: () => root, path: "/dags/$id", validateSearch: readText }).lazy(() =>
  import("./pages/run/Run").then((page) => page.route),
);
const apps = createRoute({ getParentRoute: () => root, path: "/apps", validateSearch: readText }).lazy(() =>
  import("./pages/apps/Apps").then((page) => page.route),
);
const deploy = createRoute({ getParentRoute: () => root, path: "/clusters/new", validateSearch: readText }).lazy(() =>
  import("./pages/deploy/Deploy").then((page) => page.route),
);
const app = createRoute({ getParentRoute: () => root, path: "/clusters/$id", validateSearch: readText }).lazy(() =>
  import("./pages/app/App").then((page) => page.route),
);
const nodes = createRoute({ getParentRoute: () => root, path: "/nodes", validateSearch: readText }).lazy(() =>
  import("./pages/nodes/Nodes").then((page) => page.route),
);
const addNode = createRoute({ getParentRoute: () => root, path: "/nodes/add", validateSearch: readText }).lazy(() =>
  import("./pages/add-node/AddNode").then((page) => page.route),
);
const node = createRoute({ getParentRoute: () => root, path: "/nodes/$id", validateSearch: readText }).lazy(() =>
  import("./pages/node/Node").then((page) => page.route),
);
const verification = createRoute({ getParentRoute: () => root, path: "/cases", validateSearch: readText }).lazy(() =>
  import("./pages/verification/Verification").then((page) => page.route),
);
const oneCase = createRoute({ getParentRoute: () => root, path: "/cases/$id", validateSearch: readText }).lazy(() =>
  import("./pages/case/Case").then((page) => page.route),
);
const events = createRoute({ getParentRoute: () => root, path: "/events", validateSearch: readText }).lazy(() =>
  import("./pages/events/Events").then((page) => page.route),
);
const usage = createRoute({ getParentRoute: () => root, path: "/usage", validateSearch: readText }).lazy(() =>
  import("./pages/usage/Usage").then((page) => page.route),
);
const access = createRoute({ getParentRoute: () => root, path: "/keys", validateSearch: readText }).lazy(() =>
  import("./pages/access/Access").then((page) => page.route),
);
const settings = createRoute({ getParentRoute: () => root, path: "/settings", validateSearch: readText }).lazy(() =>
  import("./pages/settings/Settings").then((page) => page.route),
);

export const router = createRouter({
  routeTree: root.addChildren([
    watch,
    tasks,
    task,
    newTask,
    workflows,
    builder,
    run,
    apps,
    deploy,
    app,
    nodes,
    addNode,
    node,
    verification,
    oneCase,
    events,
    usage,
    access,
    settings,
  ]),
  defaultPendingComponent: () => <Loading what="the page" />,
  defaultErrorComponent: Broken,
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
