/** Said in place of a page that takes another role than one has. */
import { useSession } from "../api/session";
import { Page } from "../ui/Page";
import { Empty } from "../ui/Said";

export function NotAllowed({ title, needed }: { title: string; needed: string }) {
  const session = useSession().data;
  return (
    <Page title={title}>
      <Empty title="This page is not for your role.">
        <p>
          It takes the role <b>{needed}</b>, or one above it. You are <bdi>{session?.name}</bdi>, {session?.role}.
        </p>
        <p>
          An admin can give you a key that may: <span className="mono">anchor key create NAME --role {needed}</span>
        </p>
      </Empty>
    </Page>
  );
}
