/** A machine becomes a node: one line to run on it, and the steps that tick as it calls in. */
import { createLazyRoute, Link } from "@tanstack/react-router";
import { useCallback, useEffect, useRef, useState } from "react";
import { useKeys } from "../../keyboard/keys";
import { AsCurl, copy } from "../../ui/AsCurl";
import { Page } from "../../ui/Page";
import { Failed, Loading } from "../../ui/Said";
import { Tabs } from "../../ui/Tabs";
import { useNow } from "../../ui/useNow";
import styles from "./AddNode.module.css";
import { NoCall } from "./NoCall";
import { forgetToken, isGone, TOKEN_SECONDS, useArrival, useToken, useTokenState } from "./queries";
import { Steps } from "./Steps";
import { clock, isOwnMachine, stepsOf } from "./steps";

export const route = createLazyRoute("/nodes/add")({ component: AddNode });

const SYSTEMS = ["Linux and macOS", "Windows", "Python"] as const;
type System = (typeof SYSTEMS)[number];

/** The system this browser runs on is the likeliest one. */
const HERE: System = navigator.userAgent.includes("Windows") ? "Windows" : "Linux and macOS";

function AddNode() {
  const token = useToken();
  const isOver = useRef(false);
  const told = useCallback((over: boolean) => {
    isOver.current = over;
  }, []);
  // Whoever comes back finds the token that still waits, or else a new one.
  useEffect(
    () => () => {
      if (isOver.current) forgetToken();
    },
    [],
  );
  return (
    <Page
      title="Add a node"
      aside={<AsCurl method="POST" path="/api/nodes/join-tokens" body={{ seconds: TOKEN_SECONDS }} />}
    >
      {token.data !== undefined ? (
        <Join
          key={token.data.id}
          token={token.data}
          madeAt={token.dataUpdatedAt}
          told={told}
          renew={() => void token.refetch()}
          renewing={token.isFetching}
        />
      ) : token.isPending ? (
        <Loading what="a token to join with" />
      ) : (
        <Failed what="a token to join with" error={token.error} again={() => void token.refetch()} />
      )}
    </Page>
  );
}

interface JoinProps {
  token: NonNullable<ReturnType<typeof useToken>["data"]>;
  madeAt: number;
  /** Told whether this token lets no machine join any more. */
  told: (isOver: boolean) => void;
  renew: () => void;
  renewing: boolean;
}

function Join({ token, madeAt, told, renew, renewing }: JoinProps) {
  const [system, setSystem] = useState<System>(HERE);
  useNow(true, 500);
  // This browser counts from the moment it got the token: its own clock it is, right or wrong.
  const now = Date.now();
  const found = useTokenState(token.id);
  const state = found.data;
  const gone = isGone(found.error);
  const node = useArrival(state?.nodeId ?? null).data;
  const isConnected = node !== undefined && node.seenAt !== null && node.status !== "offline";
  const [connectedAt, setConnectedAt] = useState<number | null>(null);
  useEffect(() => {
    if (isConnected) setConnectedAt((old) => old ?? Date.now());
  }, [isConnected]);
  const isOver = gone || state?.state === "used" || state?.state === "expired";
  useEffect(() => told(isOver), [isOver, told]);
  const commands: Record<System, string> = {
    "Linux and macOS": token.commands?.linux ?? token.command,
    Windows: token.commands?.windows ?? token.command,
    Python: token.commands?.python ?? token.command,
  };
  const command = commands[system];
  useKeys([
    { keys: "c", says: "copy the command", run: () => !isOver && copy(command) },
    ...SYSTEMS.map((one, number) => ({ keys: `${number + 1}`, says: one, run: () => setSystem(one) })),
  ]);
  const left = madeAt + TOKEN_SECONDS * 1000 - now;
  const steps = stepsOf(state, node, connectedAt === null ? 0 : now - connectedAt);
  const isReady = steps.at(-1)?.is === "done";
  return (
    <div className={styles.page}>
      <p className={styles.whole} role="status">
        {isReady
          ? "It is a node now."
          : state?.state === "used"
            ? "It has called in…"
            : isOver
              ? "Nobody called in."
              : "Waiting for it to call in…"}
      </p>
      <Tabs label="System of the machine" names={SYSTEMS} chosen={system} choose={setSystem}>
        <div className={styles.below}>
          <div className={styles.command}>
            <pre className={isOver ? styles.dead : undefined}>{command}</pre>
            <button type="button" className="button" disabled={isOver} onClick={() => void copy(command)}>
              Copy <kbd>c</kbd>
            </button>
          </div>
          <p>
            {gone ? (
              <>
                <b>This token was taken back:</b> it lets no machine join.{" "}
                <button type="button" className="button main" disabled={renewing} onClick={renew}>
                  New token
                </button>
              </>
            ) : state?.state === "expired" ? (
              <>
                <b>This token has expired:</b> nobody used it within its 15 minutes, and it lets no machine join any
                more.{" "}
                <button type="button" className="button main" disabled={renewing} onClick={renew}>
                  New token
                </button>
              </>
            ) : state?.state === "used" ? (
              <>
                <b>This token was used</b> by <span className="mono">{state.nodeId}</span>, and lets no other machine
                join.{" "}
                <button type="button" className="button" disabled={renewing} onClick={renew}>
                  Add another machine
                </button>
              </>
            ) : (
              <>
                The token works once and for the next <b className={styles.clock}>{clock(left)}</b>.{" "}
                <Reads system={system} />
              </>
            )}
          </p>
          {isOwnMachine(command) && !isOver && (
            <p className={styles.note}>
              <b>This address is one that only this very machine can reach.</b> To add another one, let the server
              listen to the network (<span className="mono">anchor up --host 0.0.0.0</span>) and open this page by its
              address there.
            </p>
          )}
          <Steps steps={steps} />
          {isReady && node !== undefined && (
            <p>
              <Link to="/nodes/$id" params={{ id: node.nodeId }} className="button main">
                Show {node.nodeId}
              </Link>
            </p>
          )}
          <NoCall waitsSince={isOver ? null : madeAt} now={now} system={system} command={command} />
        </div>
      </Tabs>
    </div>
  );
}

function Reads({ system }: { system: System }) {
  if (system === "Python") {
    return (
      <>It wants Python 3.11 or newer, and goes on in the terminal it was started in. A virtual environment is best.</>
    );
  }
  return (
    <>
      The script is{" "}
      <a href={system === "Windows" ? "/join.ps1" : "/join.sh"} target="_blank" rel="noreferrer">
        here to read
      </a>{" "}
      first. {system === "Windows" ? "No administrator" : "No root"} needed; it installs to{" "}
      <span className="mono">{system === "Windows" ? "%USERPROFILE%\\.anchor" : "~/.anchor"}</span>.
    </>
  );
}
