/** A button that opens a few choices: arrows, Home, End and Esc as everywhere. */
import { DropdownMenu } from "radix-ui";
import styles from "./Menu.module.css";

export interface Choice {
  word: string;
  run: () => void;
}

export function Menu({ word, choices }: { word: string; choices: readonly Choice[] }) {
  return (
    // Not modal: a modal one would put a style element into the page, which our own policy forbids.
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger className="button">{word} ▾</DropdownMenu.Trigger>
      <DropdownMenu.Content className={styles.menu} align="end" sideOffset={2}>
        {choices.map((choice) => (
          <DropdownMenu.Item key={choice.word} className={styles.item} onSelect={choice.run}>
            {choice.word}
          </DropdownMenu.Item>
        ))}
      </DropdownMenu.Content>
    </DropdownMenu.Root>
  );
}
