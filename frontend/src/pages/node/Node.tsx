/** One node: what it has and was found to have, what it does, how far to trust it, and what is decided about it. */
import { createLazyRoute, Link, useParams } from "@tanstack/react-router";
import { useState, useSyncExternalStore } from "react";
import { type NodeView, Problem } from "../../api/client";
import { useMay } from "../../api/session";
import { fleet, foldFleet, watchFleet } from "../../fleet/source";
import { useKeys } from "../../keyboard/keys";
import { useRoomPart } from "../../live/socket";
import { AsCurl, copy } from "../../ui/AsCurl";
import { Fact, Facts } from "../../ui/Facts";
import { Hint } from "../../ui/Hint";
import { Page } from "../../ui/Page";
import { Failed, Loading } from "../../ui/Said";
import { say, sayWhyNot } from "../../ui/Toast";
import { ago, at, lasting } from "../../ui/words";
import { BlockDialog } from "../nodes/NodeDialogs";
import { NodeState } from "../nodes/NodeState";
import { decide, nodesChanged, useNodeList, type Verb } from "../nodes/queries";
import { middleSpeed } from "../nodes/rows";
import { LabelEditor } from "./LabelEditor";
import { Machine } from "./Machine";
import styles from "./Node.module.css";
import { useNode } from "./queries";
import { Apps, Events, Tasks } from "./Records";
import { Runtimes } from "./Runtimes";
import { Trust } from "./Trust";

export const route = createLazyRoute("/nodes/$id")({ component: Node });

function Node() {
  const { id } = useParams({ from: "/nodes/$id" });
  const node = useNode(id);
  if (node.data !== undefined) return <Found key={id} node={node.data} />;
  return (
    <Page title={id}>
      {node.error === null ? (
        <Loading what="the node" />
      ) : (
        <Failed what="the node" error={node.error} again={() => void node.again()} />
      )}
    </Page>
  );
}

/** The state as the fleet's map has it now; while that is not live, as the record says. */
function useMark(node: NodeView): string {
  const live = useRoomPart("fleet", foldFleet, (seen) => seen.live);
  const drawn = useSyncExternalStore(watchFleet, () => {
    const place = fleet.placeOf(node.nodeId);
    return place < 0 ? null : fleet.markOf(place);
  });
  return (live ? drawn : null) ?? markOf(node);
}

function markOf(node: NodeView): string {
  if (node.status === "quarantined") return "flagged";
  if (node.status === "offline") return "lost";
  if (node.status !== "online") return node.status;
  if (node.metrics.trouble) return "failing";
  return (node.active ?? 0) > 0 ? "working" : "idle";
}

const SAYS: Record<Verb, string> = { drain: "gets no more work", resume: "is back in service", block: "is blocked" };

function Found({ node }: { node: NodeView }) {
  const [blocking, setBlocking] = useState(false);
  const [busy, setBusy] = useState(false);
  const mayAct = useMay("operator");
  const mark = useMark(node);
  const all = useNodeList().data ?? [];
  const become = async (verb: Verb, reason = "") => {
    setBusy(true);
    try {
      await decide(node.nodeId, verb, reason);
      say(`${node.nodeId} ${SAYS[verb]}.`);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      sayWhyNot(error);
    }
    setBusy(false);
    nodesChanged();
  };
  const inService = node.status === "online" || node.status === "offline";
  useKeys([
    { keys: "c", says: "copy the node's id", run: () => copy(node.nodeId) },
    ...(mayAct
      ? [
          {
            keys: "d",
            says: inService ? "drain it" : "take it back into service",
            run: () => !busy && become(inService ? "drain" : "resume"),
          },
          { keys: "b", says: "block it", run: () => node.status !== "blocked" && setBlocking(true) },
        ]
      : []),
  ]);
  const can = mayAct && !busy;
  const why = mayAct ? undefined : "This takes the role operator.";
  return (
    <Page
      title={node.nodeId}
      aside={
        <>
          <AsCurl path={`/api/nodes/${node.nodeId}`} />
          {inService ? (
            <button type="button" className="button" disabled={!can} title={why} onClick={() => void become("drain")}>
              Drain
            </button>
          ) : (
            <button
              type="button"
              className="button main"
              disabled={!can}
              title={why}
              onClick={() => void become("resume")}
            >
              Take back
            </button>
          )}
          {node.status !== "blocked" && (
            <button type="button" className="button" disabled={!can} title={why} onClick={() => setBlocking(true)}>
              Block…
            </button>
          )}
        </>
      }
    >
      <Facts>
        <Fact name="state">
          <NodeState mark={mark} alsoDrains={node.status === "draining" && mark !== "draining"} />
        </Fact>
        <Fact name="slots in use">{node.active === null ? "not known here" : `${node.active} of ${node.slots}`}</Fact>
        <Fact name="CPU">{`${Math.round(node.metrics.cpuUsage ?? 0)} %`}</Fact>
        <Fact name="memory">{`${Math.round(node.metrics.ramUsage ?? 0)} %`}</Fact>
        <Fact name="heard">{node.seenAt === null ? "never" : node.status === "offline" ? notSince(node) : "now"}</Fact>
        <Fact name="up for">{node.metrics.uptime ? lasting(node.metrics.uptime * 1000) : "not known"}</Fact>
        <Fact name="host">
          <bdi>{node.specs.host || "not known"}</bdi>
        </Fact>
        <Fact name="joined">
          {ago(node.joinedAt)}, owner <bdi>{node.owner}</bdi>
        </Fact>
        <Fact name="agent">{node.specs.version || "not known"}</Fact>
      </Facts>
      {node.reason !== null && (
        <p className={styles.reason} data-status={node.status}>
          <b>
            <bdi>{node.reason.message}</bdi>
          </b>{" "}
          <Hint says={node.reason.hint} />
        </p>
      )}
      {node.metrics.trouble && (
        <p className={styles.reason}>
          <b>It takes no work at the moment:</b> <bdi>{node.metrics.trouble}</bdi>
        </p>
      )}
      <div className={styles.parts}>
        <div className={styles.part}>
          <Tasks node={node.nodeId} />
          <Apps node={node.nodeId} replicas={node.replicas ?? 0} />
          <Machine node={node} middle={middleSpeed(all)} />
          <Runtimes node={node} />
        </div>
        <div className={styles.part}>
          <Trust node={node} />
          <LabelEditor node={node} mayEdit={mayAct} />
          <Events node={node.nodeId} />
        </div>
      </div>
      <p>
        <Link to="/nodes">All nodes</Link>
      </p>
      {blocking && (
        <BlockDialog
          ids={[node.nodeId]}
          close={() => setBlocking(false)}
          block={(reason) => void become("block", reason)}
        />
      )}
    </Page>
  );
}

function notSince(node: NodeView): string {
  return node.seenAt === null ? "never" : `not heard from since ${at(node.seenAt)}`;
}
