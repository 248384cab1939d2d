/** A table of rows that are fetched as they come into sight: as long as it likes, with keys for every way through it. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useId, useRef, useState } from "react";
import { useKeys } from "../keyboard/keys";
import { rowPx } from "../theme/density";
import styles from "./SparseTable.module.css";
import type { Column } from "./Table";
import look from "./Table.module.css";
import { useWidth } from "./useWidth";

/** Where in the table somebody was. */
export interface Place {
  chosen: number;
  scrolled: number;
}

interface SparseTableProps<Row> {
  label: string;
  columns: readonly Column<Row>[];
  /** Where to begin, and told where somebody is when the table goes. */
  place: Place;
  left: (place: Place) => void;
  /** How many rows there are. */
  count: number;
  /** The row at a place; undefined until it is here. */
  rowAt: (index: number) => Row | undefined;
  idOf: (row: Row) => string;
  nameOf: (row: Row) => string;
  /** Told which places are in sight. */
  seen: (first: number, last: number) => void;
  open: (row: Row) => void;
  /** Ids of selected rows; without `select`, none can be. */
  selected: ReadonlySet<string>;
  select?: ((ids: ReadonlySet<string>) => void) | undefined;
  /** All rows between two places, both included. */
  between: (first: number, last: number) => Promise<readonly Row[]>;
}

export function SparseTable<Row>(props: SparseTableProps<Row>) {
  const { label, count, rowAt, idOf, nameOf, seen, open, selected, select, between } = props;
  const prefix = useId();
  const scroll = useRef<HTMLDivElement>(null);
  const width = useWidth(scroll);
  const columns = props.columns.filter((column) => width >= (column.from ?? 0));
  const [chosen, setChosen] = useState(props.place.chosen);
  const anchor = useRef(-1);
  const virtual = useVirtualizer({
    count,
    getScrollElement: () => scroll.current,
    estimateSize: rowPx,
    overscan: 3,
    // The head stays on top of what is scrolled: a row that is gone to has to be below it.
    scrollPaddingStart: rowPx(),
    initialOffset: props.place.scrolled,
  });
  const leaving = useRef(() => {});
  leaving.current = () => props.left({ chosen, scrolled: virtual.scrollOffset ?? 0 });
  useEffect(() => () => leaving.current(), []);
  const items = virtual.getVirtualItems();
  const [first, last] = [items[0]?.index ?? 0, items.at(-1)?.index ?? 0];
  useEffect(() => seen(first, last), [seen, first, last]);

  const go = (to: number) => {
    if (count === 0) return;
    const place = Math.max(0, Math.min(count - 1, to));
    setChosen(place);
    virtual.scrollToIndex(place);
    scroll.current?.focus({ preventScroll: true });
  };
  const toggle = (index: number) => {
    const row = rowAt(index);
    if (select === undefined || row === undefined) return;
    const next = new Set(selected);
    if (!next.delete(idOf(row))) next.add(idOf(row));
    anchor.current = index;
    select(next);
  };
  const extend = async (index: number) => {
    if (select === undefined || index < 0) return;
    const from = anchor.current < 0 ? index : anchor.current;
    const rows = await between(Math.min(from, index), Math.max(from, index));
    select(new Set([...selected, ...rows.map(idOf)]));
  };
  const shown = items.flatMap((item) => rowAt(item.index) ?? []);
  const allShown = shown.length > 0 && shown.every((row) => selected.has(idOf(row)));
  const selectShown = () => {
    const next = new Set(selected);
    for (const row of shown) {
      if (allShown) next.delete(idOf(row));
      else next.add(idOf(row));
    }
    select?.(next);
  };
  useKeys([
    { keys: "j", says: "next row", run: () => go(chosen + 1) },
    { keys: "k", says: "row before", run: () => go(chosen - 1) },
    ...(select
      ? [
          { keys: "x", says: "select the row (with Shift: all from the last one)", run: () => toggle(chosen) },
          { keys: "*", says: "select all rows in sight", run: selectShown },
        ]
      : []),
  ]);
  const pressed = (event: React.KeyboardEvent) => {
    if (event.target !== scroll.current || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor((scroll.current?.clientHeight ?? 280) / rowPx()) - 2);
    const to: Record<string, number> = {
      ArrowDown: chosen + 1,
      ArrowUp: chosen - 1,
      PageDown: chosen + page,
      PageUp: chosen - page,
      Home: 0,
      End: count - 1,
    };
    const row = rowAt(chosen);
    if (event.key in to) go(to[event.key]!);
    else if (event.key === "Enter" && row !== undefined) open(row);
    else if (event.key === " ") toggle(chosen);
    else if (event.key === "X") void extend(chosen);
    else return;
    event.preventDefault();
  };

  const tracks = (widths: readonly string[]) => `${select ? "28px " : ""}${widths.join(" ")}`;
  const style = {
    "--tracks": tracks(columns.map((column) => column.width)),
    "--tracks-narrow": tracks(columns.flatMap((column) => column.narrow ?? [])),
  } as React.CSSProperties;
  return (
    <div
      ref={scroll}
      className={look.table}
      style={style}
      role="grid"
      aria-label={label}
      aria-rowcount={count + 1}
      aria-multiselectable={select !== undefined}
      aria-activedescendant={chosen >= first && chosen <= last && count > 0 ? `${prefix}-${chosen}` : undefined}
      tabIndex={0}
      onKeyDown={pressed}
    >
      <div className={look.head} role="row" aria-rowindex={1}>
        {select && (
          <span role="columnheader" data-narrow className={styles.check}>
            <label className={styles.hit}>
              <span className="unseen">Select all rows in sight</span>
              <input type="checkbox" checked={allShown} onChange={selectShown} />
            </label>
          </span>
        )}
        {columns.map((column) => (
          <span key={column.name} role="columnheader" data-narrow={column.narrow !== undefined || undefined}>
            {column.name}
          </span>
        ))}
      </div>
      <div role="rowgroup" className={look.rows} style={{ height: virtual.getTotalSize() }}>
        {items.map((item) => {
          const row = rowAt(item.index);
          const isSelected = row !== undefined && selected.has(idOf(row));
          return (
            // biome-ignore lint/a11y/useKeyWithClickEvents: keys are the grid's
            <div
              key={item.key}
              id={`${prefix}-${item.index}`}
              role="row"
              tabIndex={-1}
              className={`${look.row} ${item.index === chosen ? look.chosen : ""}`}
              style={{ transform: `translateY(${item.start}px)`, height: item.size }}
              aria-rowindex={item.index + 2}
              aria-selected={select ? isSelected : undefined}
              onClick={(event) => {
                setChosen(item.index);
                if (event.shiftKey) void extend(item.index);
              }}
            >
              {select && (
                <span role="gridcell" data-narrow className={styles.check}>
                  {row !== undefined && (
                    <label className={styles.hit}>
                      <span className="unseen">Select {nameOf(row)}</span>
                      <input
                        type="checkbox"
                        tabIndex={-1}
                        checked={isSelected}
                        onChange={(event) => {
                          if (!(event.nativeEvent as MouseEvent).shiftKey) toggle(item.index);
                        }}
                      />
                    </label>
                  )}
                </span>
              )}
              {columns.map((column) => (
                <span key={column.name} role="gridcell" data-narrow={column.narrow !== undefined || undefined}>
                  {row === undefined ? <span className={styles.coming}>…</span> : column.cell(row)}
                </span>
              ))}
            </div>
          );
        })}
      </div>
    </div>
  );
}
