import { expect, test } from "vitest";
import paths from "./paths.json" with { type: "json" };
import { router } from "./routes";

test("the server answers with the page at every route, and only there", () => {
  const routed = Object.keys(router.routesByPath);
  expect(routed.toSorted()).toEqual(paths.toSorted());
});
