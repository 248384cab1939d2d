/** The editor of a source: line numbers, colours by our tokens; Tab indents, and Esc then Tab leaves it. */
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { Annotation, Compartment, EditorState, type Extension } from "@codemirror/state";
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useImperativeHandle, useRef } from "react";
import type { Place } from "../../live/places";
import styles from "./NewTask.module.css";

export interface EditorHandle {
  /** Go to a place and be there. */
  show: (place: Pick<Place, "line" | "column">) => void;
}

interface EditorProps {
  ref?: React.Ref<EditorHandle>;
  label: string;
  language: "javascript" | "python";
  value: string;
  change: (text: string) => void;
  /** The id of what is said about it. */
  describedBy?: string | undefined;
}

const LOOK = EditorView.theme({
  "&": { height: "100%", color: "var(--ink)", backgroundColor: "var(--sheet)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { font: "12px / 1.6 var(--mono)" },
  ".cm-content": { padding: "8px 0", caretColor: "var(--ink)" },
  ".cm-gutters": { color: "var(--mute)", backgroundColor: "var(--sheet)", border: "none" },
  ".cm-lineNumbers .cm-gutterElement": { minWidth: "36px", padding: "0 12px 0 6px" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "transparent" },
  "&.cm-focused .cm-activeLine, &.cm-focused .cm-activeLineGutter": { backgroundColor: "var(--ground)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    background: "var(--sea)",
  },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "transparent", outline: "1px solid var(--edge)" },
});

const COLOURS = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier], color: "var(--deep)", fontWeight: "600" },
  { tag: [tags.string, tags.special(tags.string), tags.regexp], color: "var(--go)" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "var(--warn)" },
  { tag: [tags.comment], color: "var(--mute)", fontStyle: "italic" },
  { tag: tags.invalid, color: "var(--bad)" },
]);

/** Marks a change that came from the page and not from whoever writes. */
const given = Annotation.define<true>();

/** The grammar of a language, fetched when it is first written in. */
async function grammarOf(language: "javascript" | "python"): Promise<Extension> {
  if (language === "python") return (await import("@codemirror/lang-python")).python();
  return (await import("@codemirror/lang-javascript")).javascript();
}

/** Typing over what is marked. The browser would keep its looks by a style attribute, which is against our policy. */
function replaced(event: InputEvent, view: EditorView): boolean {
  const { selection } = view.state;
  if (event.inputType !== "insertText" || event.data === null || selection.main.empty || view.composing) return false;
  event.preventDefault();
  view.dispatch(view.state.replaceSelection(event.data), { userEvent: "input.type", scrollIntoView: true });
  return true;
}

export default function Editor({ ref, label, language, value, change, describedBy }: EditorProps) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const grammar = useRef(new Compartment());
  const about = useRef(new Compartment());
  // What was written and has not come back as the value yet: writing is quicker than a page that draws itself anew.
  const onItsWay = useRef<string[]>([]);
  const now = useRef({ change });
  now.current = { change };

  // biome-ignore lint/correctness/useExhaustiveDependencies: made once; what changes later is told to it below
  useEffect(() => {
    const at = host.current!;
    // In a shadow tree its styles are adopted sheets: a style element would be against the policy of the page.
    const root = at.shadowRoot ?? at.attachShadow({ mode: "open" });
    const made = new EditorView({
      root,
      parent: root,
      state: EditorState.create({
        doc: value,
        extensions: [
          lineNumbers(),
          highlightActiveLine(),
          highlightActiveLineGutter(),
          history(),
          drawSelection(),
          indentOnInput(),
          bracketMatching(),
          syntaxHighlighting(COLOURS),
          keymap.of([...defaultKeymap, ...historyKeymap, indentWithTab]),
          EditorState.tabSize.of(2),
          grammar.current.of([]),
          about.current.of([]),
          LOOK,
          EditorView.domEventHandlers({ beforeinput: replaced }),
          EditorView.updateListener.of((update) => {
            if (!update.docChanged || update.transactions.some((one) => one.annotation(given))) return;
            const text = update.state.doc.toString();
            onItsWay.current.push(text);
            now.current.change(text);
          }),
        ],
      }),
    });
    view.current = made;
    // From outside, keys come from the host, which is no field: none of them may be taken for a shortcut of the page.
    const keep = (event: KeyboardEvent) => {
      if (!event.metaKey && !event.ctrlKey) event.stopPropagation();
    };
    at.addEventListener("keydown", keep);
    return () => {
      at.removeEventListener("keydown", keep);
      made.destroy();
      view.current = null;
    };
  }, []);

  useEffect(() => {
    let current = true;
    void grammarOf(language).then(
      (one) => current && view.current?.dispatch({ effects: grammar.current.reconfigure(one) }),
      () => undefined, // Without its grammar, which the server does not give, it is a text without colours.
    );
    return () => {
      current = false;
    };
  }, [language]);

  useEffect(() => {
    const attributes: Record<string, string> = { "aria-label": label, tabindex: "0" };
    if (describedBy !== undefined) attributes["aria-invalid"] = "true";
    view.current?.dispatch({ effects: about.current.reconfigure(EditorView.contentAttributes.of(attributes)) });
  }, [label, describedBy]);

  useEffect(() => {
    const editor = view.current;
    if (editor === null) return;
    const { doc } = editor.state;
    const back = onItsWay.current.indexOf(value);
    const isHere = doc.toString() === value;
    onItsWay.current = isHere || back < 0 ? [] : onItsWay.current.slice(back + 1);
    if (isHere || back >= 0) return;
    editor.dispatch({ changes: { from: 0, to: doc.length, insert: value }, annotations: given.of(true) });
  }, [value]);

  useImperativeHandle(ref, () => ({
    show({ line, column }) {
      const editor = view.current;
      if (editor === null) return;
      const { doc } = editor.state;
      const at = doc.line(Math.min(Math.max(1, line), doc.lines));
      const anchor = Math.min(at.from + Math.max(0, column - 1), at.to);
      editor.dispatch({ selection: { anchor }, effects: EditorView.scrollIntoView(anchor, { y: "center" }) });
      editor.focus();
    },
  }));

  return <div ref={host} className={styles.editor} />;
}
