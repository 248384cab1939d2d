/** What is asked for, word by word, each to be taken away; the views that were kept, and keeping this one. */
import { Link } from "@tanstack/react-router";
import { X } from "lucide-react";
import { useId, useState } from "react";
import { say } from "../../ui/Toast";
import { type Filter, saidOf, textOf } from "./filter";
import styles from "./Tasks.module.css";
import { forget, keep, useViews } from "./views";

const searchOf = (q: string) => (q === "" ? {} : { q });

/** The words of a filter. */
export function Words({ filter }: { filter: Filter }) {
  const words = Object.entries(filter);
  if (words.length === 0) return null;
  return (
    <ul className={styles.words} aria-label="Only tasks with">
      {words.map(([field, value]) => (
        <li key={field} className={styles.word}>
          <bdi>{saidOf(field, value)}</bdi>
          <Link
            to="/tasks"
            search={searchOf(textOf({ ...filter, [field]: undefined }))}
            className={styles.away}
            aria-label={`Without ${saidOf(field, value)}`}
          >
            <X size={14} aria-hidden="true" />
          </Link>
        </li>
      ))}
      <li>
        <Link to="/tasks" className={styles.clear}>
          Show all tasks
        </Link>
      </li>
    </ul>
  );
}

/** Views that were kept; `q` may be kept as one, unless it is null. */
export function Views({ q }: { q: string | null }) {
  const views = useViews();
  const id = useId();
  const [naming, setNaming] = useState(false);
  const here = views.find((view) => view.q === q);
  const mayKeep = q !== null && q !== "" && here === undefined;
  if (views.length === 0 && !mayKeep) return null;
  const kept = (event: React.FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const name = String(new FormData(event.currentTarget).get("name")).trim();
    if (name === "" || q === null) return;
    keep({ name, q });
    setNaming(false);
    say(`Kept in this browser as “${name}”.`);
  };
  return (
    <div className={styles.views}>
      {views.length > 0 && <span className="label">Views</span>}
      {views.map((view) => (
        <span key={view.name} className={`${styles.word} ${view === here ? styles.here : ""}`}>
          <Link to="/tasks" search={searchOf(view.q)} title={view.q}>
            <bdi>{view.name}</bdi>
          </Link>
          <button
            type="button"
            className={styles.away}
            aria-label={`Forget the view ${view.name}`}
            onClick={() => forget(view.name)}
          >
            <X size={14} aria-hidden="true" />
          </button>
        </span>
      ))}
      {mayKeep && !naming && (
        <button type="button" className="link" onClick={() => setNaming(true)}>
          Keep this view
        </button>
      )}
      {mayKeep && naming && (
        <form className={styles.naming} onSubmit={kept}>
          <label htmlFor={id}>Name of the view</label>
          <input
            id={id}
            name="name"
            className="field"
            maxLength={40}
            autoComplete="off"
            // biome-ignore lint/a11y/noAutofocus: it is there because somebody asked for it
            autoFocus
            onKeyDown={(event) => event.key === "Escape" && setNaming(false)}
          />
          <button type="submit" className="button">
            Keep
          </button>
        </form>
      )}
    </div>
  );
}
