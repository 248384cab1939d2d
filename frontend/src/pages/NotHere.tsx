/** What is said where no page is. */
import { Link } from "@tanstack/react-router";
import { Page } from "../ui/Page";
import { Empty } from "../ui/Said";

export function NotHere() {
  return (
    <Page title="Off the chart">
      <Empty title="There is no page here.">
        <p>The address may have been mistyped, or cut off where it was copied.</p>
        <Link to="/">Go to the watch</Link>
      </Empty>
    </Page>
  );
}
