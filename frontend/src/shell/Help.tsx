/** The shortcuts of the page one looks at. */
import { Dialog } from "../ui/Dialog";
import styles from "./Help.module.css";
import { shortcuts } from "./keys";

export function Help({ close }: { close: () => void }) {
  return (
    <Dialog title="Keys" close={close}>
      <dl className={styles.keys}>
        {shortcuts().map((one) => (
          <div key={one.keys}>
            <dt>
              {one.keys.split(" ").map((key) => (
                <kbd key={key}>{key.replace("mod+", "⌘/Ctrl ")}</kbd>
              ))}
            </dt>
            <dd>{one.says}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
