/** The shortcuts of the page one looks at, and those of every page. */

import { type Shortcut, shortcuts } from "../keyboard/keys";
import { Dialog } from "../ui/Dialog";
import styles from "./Help.module.css";

export function Help({ close }: { close: () => void }) {
  const all = shortcuts();
  const here = all.filter((one) => one.where === "here");
  return (
    <Dialog title="Keys" close={close}>
      {here.length > 0 && <Keys title="On this page" all={here} />}
      <Keys title="Everywhere" all={all.filter((one) => one.where === "everywhere")} />
    </Dialog>
  );
}

function Keys({ title, all }: { title: string; all: readonly Shortcut[] }) {
  return (
    <section>
      <h3 className={styles.title}>{title}</h3>
      <dl className={styles.keys}>
        {all.map((one) => (
          <div key={one.keys}>
            <dt>
              {one.keys.split(" ").map((key) => (
                <kbd key={key}>{key.replace("mod+", "⌘/Ctrl ")}</kbd>
              ))}
            </dt>
            <dd>{one.says}</dd>
          </div>
        ))}
        {title === "Everywhere" && (
          <div>
            <dt>
              <kbd>Esc</kbd>
            </dt>
            <dd>close what is open</dd>
          </div>
        )}
      </dl>
    </section>
  );
}
