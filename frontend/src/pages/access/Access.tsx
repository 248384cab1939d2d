/** Keys and people: who may do what here, and what opens the door to them. */
import { createLazyRoute, Link } from "@tanstack/react-router";
import { useState } from "react";
import { ROLE_WORDS } from "../../api/roles";
import { ROLES } from "../../api/session";
import { useKeys } from "../../keyboard/keys";
import { serverNow } from "../../live/pulse";
import { AsCurl } from "../../ui/AsCurl";
import { Page } from "../../ui/Page";
import { Panel } from "../../ui/Panel";
import { Empty, Failed, Loading } from "../../ui/Said";
import { StateMark } from "../../ui/StateMark";
import { ago, at, lasting, many } from "../../ui/words";
import styles from "./Access.module.css";
import { NewKeyDialog } from "./NewKeyDialog";
import { type Key, peopleOf, useKeyList } from "./queries";
import { RevokeDialog } from "./RevokeDialog";

export const route = createLazyRoute("/keys")({ component: Access });

function Access() {
  const [over, setOver] = useState<"new" | Key | null>(null);
  const close = () => setOver(null);
  const keys = useKeyList("key");
  useKeys([{ keys: "a", says: "new key", run: () => setOver("new") }]);
  return (
    <Page
      title="Keys and people"
      aside={
        <>
          <AsCurl path="/api/keys" />
          <button type="button" className="button main" onClick={() => setOver("new")}>
            New key <kbd>a</kbd>
          </button>
        </>
      }
    >
      <div className={styles.columns}>
        <div>
          <Panel title="Keys" aside={keys.data && many(keys.data.length, "key")}>
            {keys.isPending ? (
              <Loading what="keys" />
            ) : keys.isError && keys.data === undefined ? (
              <Failed what="keys" error={keys.error} again={() => void keys.refetch()} />
            ) : keys.data!.length === 0 ? (
              <Empty title="Nobody has a key yet.">
                <p>
                  On this machine none is needed. People and programs elsewhere show one with everything they ask; it
                  says who they are and what they may do.
                </p>
                <button type="button" className="button" onClick={() => setOver("new")}>
                  Give the first one
                </button>
              </Empty>
            ) : (
              <KeyTable keys={keys.data!} revoke={setOver} />
            )}
          </Panel>
          <Tokens revoke={setOver} />
        </div>
        <div>
          <People keys={keys.data ?? []} />
          <Panel title="Roles">
            <dl className={styles.words}>
              {ROLES.map((role) => (
                <div key={role}>
                  <dt>{role}</dt>
                  <dd className="mute">{ROLE_WORDS[role]}</dd>
                </div>
              ))}
            </dl>
          </Panel>
        </div>
      </div>
      {over === "new" && <NewKeyDialog close={close} />}
      {over !== null && over !== "new" && <RevokeDialog of={over} close={close} />}
    </Page>
  );
}

function KeyTable({ keys, revoke }: { keys: readonly Key[]; revoke: (key: Key) => void }) {
  return (
    <table className={styles.list}>
      <thead>
        <tr>
          <th scope="col">who</th>
          <th scope="col">role</th>
          <th scope="col">expires</th>
          <th scope="col" className={styles.wide}>
            made
          </th>
          <th scope="col" className={styles.wide}>
            browsers
          </th>
          <th scope="col" className={styles.wide}>
            id
          </th>
          <th scope="col">
            <span className="unseen">what can be done</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {keys.map((key) => (
          <tr key={key.id}>
            <td>
              <bdi>{key.name}</bdi>
            </td>
            <td>{key.role}</td>
            <td>{key.expiresAt === null ? <span className="mute">never</span> : `in ${left(key.expiresAt)}`}</td>
            <td className={styles.wide}>{ago(key.createdAt)}</td>
            <td className={styles.wide}>{key.sessions === 0 ? "" : `${key.sessions} signed in`}</td>
            <td className={`mono ${styles.wide}`}>{key.id}</td>
            <td>
              <button
                type="button"
                className="link"
                aria-label={`Revoke the key ${key.id} of ${key.name}`}
                onClick={() => revoke(key)}
              >
                Revoke
              </button>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function left(moment: string): string {
  return lasting(Math.max(0, Date.parse(moment) - serverNow()));
}

function People({ keys }: { keys: readonly Key[] }) {
  const people = peopleOf(keys);
  if (people.length === 0) return null;
  return (
    <Panel title="People" aside={many(people.length, "name")}>
      <ul className={styles.people}>
        {people.map((one) => (
          <li key={one.name}>
            <b>
              <bdi>{one.name}</bdi>
            </b>
            <span className="mute">
              {one.roles.join(" and ")}, {many(one.keys, "key")}
              {one.sessions > 0 && `, ${many(one.sessions, "browser")} signed in`}.{" "}
              <Link to="/events" search={{ by: one.name }}>
                what they did
              </Link>
            </span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

const TOKEN_STATES: Record<string, { state: string; word: string }> = {
  waiting: { state: "queued", word: "waiting" },
  used: { state: "succeeded", word: "used" },
  expired: { state: "cancelled", word: "expired" },
};

function Tokens({ revoke }: { revoke: (key: Key) => void }) {
  const tokens = useKeyList("join");
  return (
    <Panel title="Join tokens" aside={<Link to="/nodes/add">Add a node</Link>}>
      {tokens.isPending ? (
        <Loading what="join tokens" />
      ) : tokens.isError && tokens.data === undefined ? (
        <Failed what="join tokens" error={tokens.error} again={() => void tokens.refetch()} />
      ) : tokens.data!.length === 0 ? (
        <Empty title="No join token was made yet.">
          <p>
            A join token lets one machine become a node, once, within minutes. <Link to="/nodes/add">Add a node</Link>{" "}
            makes one.
          </p>
        </Empty>
      ) : (
        <table className={styles.list}>
          <thead>
            <tr>
              <th scope="col">state</th>
              <th scope="col">made by</th>
              <th scope="col">node</th>
              <th scope="col" className={styles.wide}>
                made
              </th>
              <th scope="col">
                <span className="unseen">what can be done</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {tokens.data!.map((token) => (
              <tr key={token.id}>
                <td>
                  <TokenState of={token} />
                </td>
                <td>
                  <bdi>{token.name}</bdi>
                </td>
                <td>
                  {token.usedBy !== "" && (
                    <Link to="/nodes/$id" params={{ id: token.usedBy }} className="mono">
                      {token.usedBy}
                    </Link>
                  )}
                </td>
                <td className={styles.wide}>{at(token.createdAt)}</td>
                <td>
                  {token.state === "waiting" && (
                    <button
                      type="button"
                      className="link"
                      aria-label={`Revoke the join token ${token.id}`}
                      onClick={() => revoke(token)}
                    >
                      Revoke
                    </button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  );
}

function TokenState({ of }: { of: Key }) {
  const look = TOKEN_STATES[of.state] ?? { state: "queued", word: of.state };
  const word = of.state === "waiting" && of.expiresAt !== null ? `waiting, ${left(of.expiresAt)} left` : look.word;
  return <StateMark state={look.state} word={word} />;
}
