/** The one table: any number of rows, of which those in sight are in the document; the keyboard moves through all of them. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { type CSSProperties, type ReactNode, useEffect, useId, useRef, useState } from "react";

export interface Column<Row> {
  id: string;
  /** What stands above it. */
  title: ReactNode;
  /** In full, on hover. */
  hint?: string;
  width: number;
  /** Numbers stand to the right. */
  right?: boolean;
  /** What `sort` says for it; without one it can't be sorted by. */
  sort?: string;
  cell: (row: Row) => ReactNode;
}

interface Props<Row> {
  /** What it lists, for those who can't see it. */
  label: string;
  columns: readonly Column<Row>[];
  count: number;
  /** The row of that place; undefined: not here yet. */
  row: (index: number) => Row | undefined;
  rowKey: (row: Row) => string;
  /** A column's `sort`, with `-` before it: descending. */
  sort?: string | undefined;
  onSort?: (sort: string) => void;
  onOpen?: (row: Row) => void;
  /** The last row that is in sight. */
  onReach?: (index: number) => void;
  /** Shown in place of rows. */
  empty?: ReactNode;
  /** The most that it is high; without it, what its box gives. */
  className?: string;
}

const ROW = 34;

export function Table<Row>({ label, columns, count, row, rowKey, sort = "", onSort, onOpen, onReach, empty, className = "" }: Props<Row>) {
  const scroller = useRef<HTMLDivElement>(null);
  const id = useId();
  const [chosen, setChosen] = useState<Chosen>(NOBODY);
  const active = place(chosen, count, row, rowKey);
  const key = active < 0 ? null : keyOf(row(active), rowKey);
  useEffect(() => {
    // Where it is now; and who it is, once a row that was gone to is here.
    setChosen((old) => (old.at === active && (old.key ?? key) === old.key ? old : { at: active, key: old.key ?? key }));
  }, [active, key]);
  const virtual = useVirtualizer({ count, getScrollElement: () => scroller.current, estimateSize: () => ROW, overscan: 12, scrollPaddingStart: ROW });
  const items = virtual.getVirtualItems();
  const end = items.at(-1)?.index ?? -1;
  useEffect(() => {
    if (end >= 0) onReach?.(end);
  }, [end, onReach]);

  const move = (to: number): void => {
    const next = Math.max(0, Math.min(count - 1, to));
    setChosen({ at: next, key: keyOf(row(next), rowKey) });
    virtual.scrollToIndex(next);
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    if (event.target !== scroller.current || event.ctrlKey || event.metaKey || event.altKey || !count) return;
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / ROW) - 2);
    const to = { ArrowDown: active + 1, j: active + 1, ArrowUp: active - 1, k: active - 1, PageDown: active + page, PageUp: active - page, Home: 0, End: count - 1 }[event.key];
    const here = row(active);
    if (to !== undefined) {
      event.preventDefault();
      move(to);
    } else if (event.key === "Enter" && here !== undefined && onOpen) {
      event.preventDefault();
      onOpen(here);
    }
  };

  const widths = { "--columns": columns.map((one) => `minmax(${one.width}px, ${one.right ? one.width : one.width * 1.6}fr)`).join(" "), "--least": `${columns.reduce((sum, one) => sum + one.width, 0)}px` } as CSSProperties;
  return (
    <div
      ref={scroller}
      className={`table ${className}`}
      style={widths}
      role="grid"
      aria-label={label}
      aria-rowcount={count + 1}
      aria-colcount={columns.length}
      aria-activedescendant={active >= 0 && active < count ? `${id}-${active}` : undefined}
      tabIndex={0}
      onKeyDown={onKeyDown}
    >
      <div role="rowgroup" className="table-head">
        <div role="row" aria-rowindex={1} className="row">
          {columns.map((column) => (
            <Head key={column.id} column={column} sort={sort} {...(onSort ? { onSort } : {})} />
          ))}
        </div>
      </div>
      {count === 0 && empty ? (
        <div role="rowgroup" className="table-empty">
          <div role="row">
            <div role="gridcell" aria-colspan={columns.length}>
              {empty}
            </div>
          </div>
        </div>
      ) : (
        <div role="rowgroup" className="table-body" style={{ height: virtual.getTotalSize() }}>
          {items.map((item) => {
            const one = row(item.index);
            const isActive = item.index === active;
            return (
              <div
                key={one === undefined ? `at ${item.index}` : rowKey(one)}
                id={`${id}-${item.index}`}
                role="row"
                aria-rowindex={item.index + 2}
                aria-selected={isActive}
                className={`row ${onOpen ? "row-opens" : ""}`}
                style={{ transform: `translateY(${item.start}px)` }}
                onClick={(event) => {
                  if (one === undefined || (event.target as HTMLElement).closest("a, button, input")) return;
                  if (window.getSelection()?.toString()) return; // text was marked, to be copied
                  setChosen({ at: item.index, key: rowKey(one) });
                  onOpen?.(one);
                }}
              >
                {columns.map((column) => (
                  <div key={column.id} role="gridcell" className={column.right ? "cell right" : "cell"}>
                    {one === undefined ? <span className="coming" /> : column.cell(one)}
                  </div>
                ))}
              </div>
            );
          })}
        </div>
      )}
    </div>
  );
}

/** The row that the keyboard is at: rows come and go above it. The key is null until the row is here. */
interface Chosen {
  at: number;
  key: string | null;
}
const NOBODY: Chosen = { at: -1, key: null };

const keyOf = <Row,>(row: Row | undefined, rowKey: (row: Row) => string): string | null => (row === undefined ? null : rowKey(row));

/** Where the chosen row is now; -1: nowhere. */
function place<Row>({ at, key }: Chosen, count: number, row: (index: number) => Row | undefined, rowKey: (row: Row) => string): number {
  if (at < 0 || key === null || (at < count && keyOf(row(at), rowKey) === key)) return at < count ? at : -1;
  for (let i = 0; i < count; i += 1) if (keyOf(row(i), rowKey) === key) return i;
  return -1;
}

function Head<Row>({ column, sort, onSort }: { column: Column<Row>; sort: string; onSort?: (sort: string) => void }) {
  const by = column.sort;
  const down = sort === `-${by}`;
  const is = by !== undefined && (down || sort === by);
  const order = is ? (down ? "descending" : "ascending") : undefined;
  // Numbers and times are first wanted greatest first, unless they are sorted so already.
  const next = is ? (down ? by : `-${by}`) : column.right ? `-${by}` : by;
  return (
    <div role="columnheader" aria-sort={order} className={column.right ? "cell right" : "cell"} title={column.hint}>
      {by !== undefined && onSort ? (
        <button type="button" onClick={() => onSort(next ?? "")}>
          <span className="head-text">{column.title}</span>
          {is ? <span aria-hidden="true">{down ? "↓" : "↑"}</span> : null}
        </button>
      ) : (
        <span className="head-text">{column.title}</span>
      )}
    </div>
  );
}
