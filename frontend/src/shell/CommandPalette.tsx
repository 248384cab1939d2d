/** Everything one can do from here, and everything that has a name or an id, by a few letters of it. */
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useId, useState } from "react";
import { useApps, useNodes } from "../api/queries";
import { may, useSession } from "../api/session";
import { releaseKeys, shortcuts } from "../keyboard/keys";
import { choose, type Theme } from "../theme/theme";
import { Dialog } from "../ui/Dialog";
import { fits } from "../ui/fits";
import styles from "./CommandPalette.module.css";
import { needOf, PLACES, placeOfId } from "./places";

interface Command {
  id: string;
  word: string;
  keys?: string;
  run: () => unknown;
}

const THEMES: readonly [string, Theme | null][] = [
  ["Theme: day", "day"],
  ["Theme: night", "night"],
  ["Theme: as this machine", null],
];
const PAGES = [
  { word: "New workflow", to: "/dags/new" },
  { word: "Deploy an app", to: "/clusters/new" },
  { word: "Add a node", to: "/nodes/add" },
] as const;
/** Of nodes and apps, as many as one reads. */
const FOUND_MAX = 8;

export function CommandPalette({ close }: { close: () => void }) {
  const navigate = useNavigate();
  const list = useId();
  const role = useSession().data?.role;
  const nodes = useNodes().data ?? [];
  const apps = useApps().data ?? [];
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState(0);
  useEffect(() => {
    const typed = releaseKeys();
    setText((since) => typed + since);
  }, []);
  const go = (id: string, word: string, to: string, keys = ""): Command => ({
    id,
    word,
    keys,
    run: () => navigate({ to }),
  });
  const allowed = (to: string) => may(role, needOf(to)?.role ?? "viewer");
  const ofPlaces = new Set(PLACES.map((place) => place.keys));
  const wanted = text.trim();
  const place = placeOfId(wanted);
  const actions: Command[] = [
    ...PLACES.filter((one) => allowed(one.to)).map((one) => go(one.to, `Go to ${one.word}`, one.to, one.keys)),
    ...PAGES.filter((one) => allowed(one.to)).map((one) => go(one.to, one.word, one.to)),
    ...shortcuts()
      .filter((one) => !ofPlaces.has(one.keys) && one.keys !== "mod+k")
      .map((one) => ({ id: `key ${one.keys}`, word: begun(one.says), keys: one.keys, run: one.run })),
    ...THEMES.map(([word, theme]) => ({ id: word, word, run: () => choose(theme) })),
  ].filter((one) => fits(one.word, wanted));
  const named =
    wanted === ""
      ? []
      : [
          ...apps.map((one) => go(one.id, `App ${one.title || one.name}`, `/clusters/${one.id}`)),
          ...nodes.map((one) =>
            go(one.nodeId, `Node ${[one.nodeId, ...one.labels].join(" ")}`, `/nodes/${one.nodeId}`),
          ),
        ]
          .filter((one) => fits(one.word, wanted))
          .slice(0, FOUND_MAX);
  const search: Command = {
    id: "search",
    word: `Search tasks for “${wanted}”`,
    run: () => navigate({ to: "/tasks", search: { q: wanted } }),
  };
  const commands =
    place !== null
      ? [go(wanted, `Open ${wanted}`, place)]
      : [...actions, ...named, ...(wanted.includes(":") || actions.length + named.length === 0 ? [search] : [])];
  const run = (command: Command | undefined) => {
    if (command === undefined) return;
    close();
    // After the dialog is gone and has given the focus back.
    setTimeout(() => command.run());
  };
  const move = (to: number) => {
    setChosen(to);
    document.getElementById(`${list}-${to}`)?.scrollIntoView({ block: "nearest" });
  };
  const pressed = (event: React.KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      move((chosen + step + commands.length) % commands.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      run(commands[chosen]);
    }
  };
  return (
    <Dialog title="Commands" close={close} bare>
      <input
        className={`field ${styles.text}`}
        role="combobox"
        aria-label="Command"
        aria-expanded="true"
        aria-controls={list}
        aria-activedescendant={`${list}-${chosen}`}
        placeholder="A page, an action, a node, an app, or any id"
        value={text}
        autoComplete="off"
        spellCheck={false}
        onChange={(event) => {
          setText(event.target.value);
          setChosen(0);
        }}
        onKeyDown={pressed}
      />
      <div id={list} role="listbox" aria-label="Commands" className={styles.list}>
        {commands.map((command, at) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: keys are the text field's
          <div
            key={command.id}
            id={`${list}-${at}`}
            role="option"
            tabIndex={-1}
            aria-selected={at === chosen}
            className={styles.command}
            onClick={() => run(command)}
          >
            <bdi>{command.word}</bdi> {command.keys && <kbd>{command.keys}</kbd>}
          </div>
        ))}
      </div>
    </Dialog>
  );
}

/** As a sentence begins. */
function begun(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
