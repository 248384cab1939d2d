/** Said in place of a page that could not be loaded, or that broke. */
import { useEffect, useRef } from "react";
import { Problem } from "../api/client";
import { useLiveness } from "../api/liveness";
import { Page } from "../ui/Page";
import { Failed } from "../ui/Said";

const NOT_LOADED = new Problem(
  0,
  "not_loaded",
  "The server did not send this part of the dashboard.",
  "It may be away, or another version since this page was opened: look whether it runs, then try again.",
  "",
);

export function Broken({ error }: { error: unknown }) {
  const { live } = useLiveness();
  const notLoaded = error instanceof TypeError && /import|module/i.test(error.message);
  const wasAway = useRef(false);
  useEffect(() => {
    // What could not be had from a server that was away is there once the server is.
    if (!live) wasAway.current = true;
    else if (notLoaded && wasAway.current) location.reload();
  }, [notLoaded, live]);
  return (
    <Page title="This page could not be shown">
      <Failed
        what="the page"
        error={notLoaded ? NOT_LOADED : error instanceof Error ? error : new Error(String(error))}
        again={() => location.reload()}
      />
    </Page>
  );
}
