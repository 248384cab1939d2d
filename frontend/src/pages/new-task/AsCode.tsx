/** The task that is being written from elsewhere: with curl, from Python, on the command line. */
import { useState } from "react";
import { copy, curlOf } from "../../ui/AsCurl";
import { Dialog } from "../../ui/Dialog";
import { Tabs } from "../../ui/Tabs";
import { commandOf, pythonOf } from "./code";
import type { Draft } from "./draft";
import styles from "./NewTask.module.css";
import type { Spec } from "./spec";

const WAYS = ["curl", "Python", "Command line"] as const;

export function AsCode({ draft, spec }: { draft: Draft; spec: Spec }) {
  const [shown, setShown] = useState(false);
  const [way, setWay] = useState<(typeof WAYS)[number]>("curl");
  const { origin } = window.location;
  const code = () => {
    if (way === "Python") return pythonOf(spec, origin);
    if (way === "Command line") return commandOf(draft, spec, origin);
    return curlOf({ method: "POST", path: "/api/tasks", body: spec }, origin);
  };
  return (
    <>
      <button type="button" className="link" onClick={() => setShown(true)}>
        as curl, Python, command
      </button>
      {shown && (
        <Dialog title="The same from elsewhere" close={() => setShown(false)}>
          <Tabs label="Ways" names={WAYS} chosen={way} choose={setWay}>
            <pre className={styles.code} tabIndex={0} role="region" aria-label={way}>
              {code()}
            </pre>
          </Tabs>
          <div>
            <button type="button" className="button main" onClick={() => void copy(code())}>
              Copy
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}
