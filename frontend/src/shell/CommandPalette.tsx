/** Everything one can do from here, by a few letters of its name. */
import { useNavigate } from "@tanstack/react-router";
import { useId, useState } from "react";
import { isTaskId } from "../pages/tasks/query";
import { choose, type Theme } from "../theme/theme";
import { Dialog } from "../ui/Dialog";
import styles from "./CommandPalette.module.css";
import { shortcuts } from "./keys";
import { PLACES } from "./places";

interface Command {
  word: string;
  keys: string;
  run: () => unknown;
}

/** Whether the letters come in this order in the word, however far apart. */
export function fits(word: string, letters: string): boolean {
  let at = 0;
  for (const letter of letters.toLowerCase().replaceAll(" ", "")) {
    at = word.toLowerCase().indexOf(letter, at) + 1;
    if (at === 0) return false;
  }
  return true;
}

export function CommandPalette({ close }: { close: () => void }) {
  const navigate = useNavigate();
  const list = useId();
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState(0);
  const id = text.trim();
  const theme = (word: string, wish: Theme | null) => ({ word, keys: "", run: () => choose(wish) });
  const ofPlaces = new Set(PLACES.map((place) => place.keys));
  const commands: Command[] = [
    ...(isTaskId(id)
      ? [{ word: `Open ${id}`, keys: "", run: () => navigate({ to: "/tasks/$id", params: { id } }) }]
      : []),
    ...PLACES.map((place) => ({
      word: `Go to ${place.word}`,
      keys: place.keys,
      run: () => navigate({ to: place.to }),
    })),
    ...shortcuts()
      .filter((one) => !ofPlaces.has(one.keys) && one.keys !== "mod+k")
      .map((one) => ({ word: one.says, keys: one.keys, run: one.run })),
    theme("Theme: day", "day"),
    theme("Theme: night", "night"),
    theme("Theme: as this machine", null),
  ].filter((command) => isTaskId(id) || fits(command.word, text));
  const run = (command: Command | undefined) => {
    if (command === undefined) return;
    close();
    // After the dialog is gone and has given the focus back.
    setTimeout(() => command.run());
  };
  const pressed = (event: React.KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined && commands.length > 0) {
      event.preventDefault();
      setChosen((chosen + step + commands.length) % commands.length);
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
        aria-activedescendant={commands.length > 0 ? `${list}-${chosen}` : undefined}
        placeholder="A page, an action, or a task's id"
        value={text}
        autoComplete="off"
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
            key={command.word}
            id={`${list}-${at}`}
            role="option"
            tabIndex={-1}
            aria-selected={at === chosen}
            className={styles.command}
            onClick={() => run(command)}
          >
            {command.word} {command.keys && <kbd>{command.keys}</kbd>}
          </div>
        ))}
      </div>
      {commands.length === 0 && <p className="mute">There is no command like this.</p>}
    </Dialog>
  );
}
