/** Said in place of a page that could not be loaded, or that broke. */
import { Page } from "../ui/Page";
import { Failed } from "../ui/Said";

export function Broken({ error }: { error: unknown }) {
  return (
    <Page title="This page could not be shown">
      <Failed
        what="page"
        error={error instanceof Error ? error : new Error(String(error))}
        again={() => location.reload()}
      />
    </Page>
  );
}
