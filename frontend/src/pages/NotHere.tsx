/** What is said where no page is. */
import { Link } from "@tanstack/react-router";
import { Empty } from "../ui/Said";

export function NotHere() {
  return (
    <Empty title="There is no page here.">
      <Link to="/">Go to the watch</Link>
    </Empty>
  );
}
