/** Connects two steps by name: type a part of it, arrows choose, Enter connects, or takes apart what was connected. */
import { useId, useState } from "react";
import { Dialog } from "../../ui/Dialog";
import { first } from "../../ui/first";
import styles from "./Builder.module.css";
import { type GraphDraft, waitsFor } from "./draft";

interface ConnectProps {
  graph: GraphDraft;
  from: string;
  connect: (to: string, wanted: boolean) => void;
  close: () => void;
}

export function Connect({ graph, from, connect, close }: ConnectProps) {
  const id = useId();
  const [part, setPart] = useState("");
  const [place, setPlace] = useState(0);
  const found = graph.steps.filter((step) => step.id !== from && step.id.toLowerCase().includes(part.toLowerCase()));
  const at = Math.min(place, found.length - 1);
  const isOn = (to: string) => graph.steps.some((step) => step.id === to && waitsFor(step).includes(from));
  const pick = (to: string) => {
    connect(to, !isOn(to));
    close();
  };
  const pressed = (event: React.KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      setPlace(Math.max(0, Math.min(found.length - 1, at + step)));
    } else if (event.key === "Enter" && found[at] !== undefined) {
      event.preventDefault();
      pick(found[at].id);
    }
  };
  return (
    <Dialog title={`What waits for ${from}?`} close={close}>
      <label className="label" htmlFor={`${id}-part`}>
        Name of the step
      </label>
      <input
        ref={first}
        id={`${id}-part`}
        className="field"
        role="combobox"
        aria-expanded="true"
        aria-controls={`${id}-list`}
        aria-activedescendant={found.length > 0 ? `${id}-${at}` : undefined}
        autoComplete="off"
        spellCheck={false}
        value={part}
        onChange={(event) => {
          setPart(event.target.value);
          setPlace(0);
        }}
        onKeyDown={pressed}
      />
      {found.length === 0 && <p role="status">No other step is called like this.</p>}
      <div id={`${id}-list`} role="listbox" aria-label="Steps" className={styles.names}>
        {found.map((step, number) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: keys are the field's
          <div
            // biome-ignore lint/suspicious/noArrayIndexKey: two steps may have one name while it is being built
            key={number}
            id={`${id}-${number}`}
            role="option"
            aria-selected={number === at}
            className={styles.option}
            onClick={() => pick(step.id)}
          >
            <bdi>{step.id}</bdi>
            {isOn(step.id) && <span className="mute">connected; again takes it apart</span>}
          </div>
        ))}
      </div>
    </Dialog>
  );
}
