/** A window over the page, by the browser's own <dialog>: focus stays in it, Esc closes it, focus goes back. */
import { X } from "lucide-react";
import { useEffect, useId, useRef } from "react";
import styles from "./Dialog.module.css";

interface DialogProps {
  title: string;
  /** Without it, only what is inside can end it. */
  close?: () => void;
  children: React.ReactNode;
  /** Where the first thing in it says what it is. */
  bare?: boolean;
}

/** Shown as long as it is rendered. */
export function Dialog({ title, close, children, bare = false }: DialogProps) {
  const id = useId();
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    const before = document.activeElement;
    if (dialog !== null && !dialog.open) dialog.showModal();
    return () => {
      dialog?.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the keyboard's way out is Esc, which the browser sees to
    <dialog
      ref={ref}
      className={styles.dialog}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        close?.();
      }}
      onClose={() => {
        // Whoever presses Esc again and again is let out by the browser, which asks no more.
        if (ref.current === null || ref.current.open) return;
        if (close === undefined) ref.current.showModal();
        else close();
      }}
      onClick={(event) => {
        if (event.target === ref.current) close?.();
      }}
    >
      <div className={styles.inside}>
        <div className={bare ? "unseen" : styles.head}>
          <h2 id={id}>{title}</h2>
          {!bare && close && (
            <button type="button" className={styles.close} onClick={close} aria-label="Close">
              <X size={16} aria-hidden="true" />
            </button>
          )}
        </div>
        {children}
      </div>
    </dialog>
  );
}

/** The way out of a window in which nothing is done. */
export function Leave({ close }: { close: () => void }) {
  return (
    <button type="button" className="button" onClick={close}>
      Leave as it is
    </button>
  );
}
