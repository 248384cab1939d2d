/** What can be done with a whole app: restart, stop, start, deploy again, remove it by typing its name. */
import { useMutation } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { copy } from "../../ui/AsCurl";
import { Dialog, Leave } from "../../ui/Dialog";
import { first } from "../../ui/first";
import { Menu } from "../../ui/Menu";
import { say, sayWhyNot } from "../../ui/Toast";
import styles from "./App.module.css";
import { type AppView, remove, restart, start, stop, useChange } from "./queries";

export function Actions({ app, asked, may }: { app: AppView; asked: string; may: boolean }) {
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  const doing = useChange<"restart" | "stop" | "start">(
    asked,
    (verb) => ({ restart, stop, start })[verb](asked),
    (verb) =>
      ({
        restart: "Restarting: each replica is replaced by a new one, one after the other.",
        stop: "Stopping: each replica finishes what it is answering.",
        start: "Starting.",
      })[verb],
  );
  const isStopped = ["stopped", "stopping"].includes(app.state);
  const follow = { word: "Copy: follow its log", run: () => void copy(`anchor app logs ${app.name} -f`) };
  const choices = [
    { word: "Deploy a new release", run: () => void navigate({ to: "/clusters/new", search: { app: app.name } }) },
    ...(isStopped ? [] : [{ word: "Restart", run: () => doing.mutate("restart") }]),
    isStopped ? { word: "Start", run: () => doing.mutate("start") } : { word: "Stop", run: () => doing.mutate("stop") },
    follow,
    { word: "Remove…", run: () => setAsking(true) },
  ];
  return (
    <>
      <Menu word="More" choices={may ? choices : [follow]} />
      {asking && <Remove app={app} asked={asked} close={() => setAsking(false)} />}
    </>
  );
}

function Remove({ app, asked, close }: { app: AppView; asked: string; close: () => void }) {
  const navigate = useNavigate();
  const [typed, setTyped] = useState("");
  const removing = useMutation({
    mutationFn: () => remove(asked),
    onError: sayWhyNot,
    onSuccess: () => {
      say(`${app.name} is being removed.`);
      void navigate({ to: "/apps" });
    },
  });
  return (
    <Dialog title={`Remove ${app.name}`} close={close}>
      <p>
        Its replicas end, and its releases, variables and log are forgotten. This cannot be undone. Type{" "}
        <b className="mono">{app.name}</b> to go on.
      </p>
      <form
        className={styles.row}
        onSubmit={(event) => {
          event.preventDefault();
          if (typed === app.name) removing.mutate();
        }}
      >
        <input
          className="field mono"
          aria-label="The app's name"
          autoComplete="off"
          spellCheck={false}
          value={typed}
          ref={first}
          onChange={(event) => setTyped(event.target.value)}
        />
        <button type="submit" className="button main" disabled={typed !== app.name || removing.isPending}>
          Remove it
        </button>
        <Leave close={close} />
      </form>
    </Dialog>
  );
}
