/** A table of any length: only the rows in sight are drawn; keyboard, sorting and selection are the same everywhere. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useId, useRef, useState } from "react";
import { useKeys } from "../keyboard/keys";
import { rowPx } from "../theme/density";
import styles from "./Table.module.css";
import { useWidth } from "./useWidth";

export interface Column<Row> {
  /** What it is called, and its key for sorting. */
  name: string;
  /** What stands above it, where that is more than its name. */
  head?: React.ReactNode;
  /** A CSS grid track, such as "minmax(0, 1fr)" or "120px". */
  width: string;
  cell: (row: Row) => React.ReactNode;
  /** Its track on narrow screens; without one it is not shown there. */
  narrow?: string;
  /** It folds away where the table is narrower than this, in CSS pixels. */
  from?: number;
  /** What it is sorted by; without, it cannot be. Sorting is of all rows: give it only where all are here. */
  by?: (row: Row) => string | number;
}

interface TableProps<Row> {
  /** What it lists, for readers of the screen. */
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  idOf: (row: Row) => string;
  open?: (row: Row) => void;
  /** Ids of selected rows; without, none can be. */
  selected?: ReadonlySet<string>;
  select?: (ids: ReadonlySet<string>) => void;
  /** How many rows there are in all, where more than `rows` (null: nobody counted). */
  total?: number | null;
  /** Called when the last rows come into sight. */
  more?: () => void;
  /** The id of the row that is chosen, where the page keeps it; `choose` is told of another one. */
  chosen?: string | null;
  choose?: (id: string) => void;
}

/** The next order when a column is asked for: rising, falling, as it came. */
export function nextOrder(order: Order | null, name: string): Order | null {
  if (order?.name !== name) return { name, falling: false };
  return order.falling ? null : { name, falling: true };
}

interface Order {
  name: string;
  falling: boolean;
}

/** Rows in an order; equal ones stay as they came. */
export function sorted<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  order: Order | null,
): readonly Row[] {
  const by = columns.find((column) => column.name === order?.name)?.by;
  if (order === null || by === undefined) return rows;
  const sign = order.falling ? -1 : 1;
  return [...rows].sort((one, other) => {
    const [a, b] = [by(one), by(other)];
    return a === b ? 0 : a < b ? -sign : sign;
  });
}

export function Table<Row>(props: TableProps<Row>) {
  const { label, idOf, open, selected, select, more } = props;
  const [order, setOrder] = useState<Order | null>(null);
  const rows = sorted(props.rows, props.columns, order);
  const prefix = useId();
  const scroll = useRef<HTMLDivElement>(null);
  const width = useWidth(scroll);
  const columns = props.columns.filter((column) => width >= (column.from ?? 0));
  // By id, not by place: live data moves rows, and the one that was chosen stays chosen.
  const [ownChoice, setOwnChoice] = useState<string | null>(null);
  const chosen = props.chosen === undefined ? ownChoice : props.chosen;
  const setChosen = (id: string) => {
    setOwnChoice(id);
    props.choose?.(id);
  };
  const place = chosen === null ? -1 : rows.findIndex((row) => idOf(row) === chosen);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroll.current,
    estimateSize: rowPx,
    overscan: 6,
    getItemKey: (index) => idOf(rows[index]!),
  });
  const items = virtual.getVirtualItems();
  const lastShown = items.at(-1)?.index ?? -1;
  useEffect(() => {
    if (more !== undefined && lastShown >= rows.length - 10) more();
  }, [more, lastShown, rows.length]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: another choice of the page is what it waits for
  useEffect(() => {
    if (props.chosen !== undefined && place >= 0) virtual.scrollToIndex(place);
  }, [props.chosen]);

  const go = (to: number) => {
    const row = rows[Math.max(0, Math.min(rows.length - 1, to))];
    if (row === undefined) return;
    setChosen(idOf(row));
    virtual.scrollToIndex(rows.indexOf(row));
    scroll.current?.focus({ preventScroll: true });
  };
  const toggle = (id: string) => {
    if (selected === undefined || select === undefined) return;
    const next = new Set(selected);
    if (!next.delete(id)) next.add(id);
    select(next);
  };
  useKeys([
    { keys: "j", says: "next row", run: () => go(place + 1) },
    { keys: "k", says: "row before", run: () => go(place < 0 ? 0 : place - 1) },
    ...(select ? [{ keys: "x", says: "select the row", run: () => chosen !== null && toggle(chosen) }] : []),
  ]);
  const pressed = (event: React.KeyboardEvent) => {
    const page = Math.floor((scroll.current?.clientHeight ?? 280) / rowPx());
    const to: Record<string, number> = {
      ArrowDown: place + 1,
      ArrowUp: Math.max(0, place - 1),
      PageDown: place + page,
      PageUp: place - page,
      Home: 0,
      End: rows.length - 1,
    };
    if (event.key in to) {
      event.preventDefault();
      go(to[event.key]!);
    } else if (event.key === "Enter" && place >= 0 && event.target === scroll.current) {
      open?.(rows[place]!);
    }
  };

  const tracks = (widths: readonly string[]) => `${select ? "28px " : ""}${widths.join(" ")}`;
  const style = {
    "--tracks": tracks(columns.map((column) => column.width)),
    "--tracks-narrow": tracks(columns.flatMap((column) => column.narrow ?? [])),
  } as React.CSSProperties;
  const rowTotal = props.total === undefined ? rows.length : (props.total ?? -1);
  return (
    <div
      ref={scroll}
      className={styles.table}
      style={style}
      role="grid"
      aria-label={label}
      aria-rowcount={rowTotal < 0 ? -1 : rowTotal + 1}
      aria-multiselectable={select !== undefined}
      aria-activedescendant={place >= 0 ? `${prefix}-${chosen}` : undefined}
      tabIndex={0}
      onKeyDown={pressed}
    >
      <div className={styles.head} role="row" aria-rowindex={1}>
        {select && (
          <span role="columnheader" data-narrow>
            <span className="unseen">selected</span>
          </span>
        )}
        {columns.map((column) => (
          <span
            key={column.name}
            role="columnheader"
            data-narrow={column.narrow !== undefined || undefined}
            aria-sort={order?.name === column.name ? (order.falling ? "descending" : "ascending") : undefined}
          >
            {column.by ? (
              <button type="button" onClick={() => setOrder(nextOrder(order, column.name))}>
                {column.name}
                {order?.name === column.name ? (order.falling ? " ↓" : " ↑") : ""}
              </button>
            ) : (
              (column.head ?? column.name)
            )}
          </span>
        ))}
      </div>
      <div role="rowgroup" className={styles.rows} style={{ height: virtual.getTotalSize() }}>
        {items.map((item) => {
          const row = rows[item.index]!;
          const id = idOf(row);
          return (
            // biome-ignore lint/a11y/useKeyWithClickEvents: keys are the grid's
            <div
              key={id}
              id={`${prefix}-${id}`}
              role="row"
              tabIndex={-1}
              className={`${styles.row} ${id === chosen ? styles.chosen : ""}`}
              style={{ transform: `translateY(${item.start}px)`, height: item.size }}
              aria-rowindex={item.index + 2}
              aria-selected={select ? selected?.has(id) : undefined}
              onClick={() => setChosen(id)}
            >
              {select && (
                <span role="gridcell" data-narrow>
                  <input
                    type="checkbox"
                    tabIndex={-1}
                    aria-label={`Select ${id}`}
                    checked={selected?.has(id) ?? false}
                    onChange={() => toggle(id)}
                  />
                </span>
              )}
              {columns.map((column) => (
                <span key={column.name} role="gridcell" data-narrow={column.narrow !== undefined || undefined}>
                  {column.cell(row)}
                </span>
              ))}
            </div>
          );
        })}
      </div>
    </div>
  );
}
