/** The one table: any number of rows, of which those in sight are in the document; the keyboard moves through all of them. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { type CSSProperties, type ReactNode, useEffect, useId, useRef, useState } from "react";
import { between } from "../lib/chosen.ts";

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
  /** Which rows are chosen, by key: then each has a box to tick. */
  chosen?: ReadonlySet<string>;
  /** Rows (those at these places) are chosen, or no longer. */
  onChoose?: (places: readonly number[], on: boolean) => void;
  /** What a row's box is called. */
  rowName?: (row: Row) => string;
  /** The last row that is in sight. */
  onReach?: (index: number) => void;
  /** Shown in place of rows. */
  empty?: ReactNode;
  /** The most that it is high; without it, what its box gives. */
  className?: string;
}

const ROW = 34;

export function Table<Row>({ label, columns, count, row, rowKey, sort = "", onSort, onOpen, onReach, chosen, onChoose, rowName, empty, className = "" }: Props<Row>) {
  const scroller = useRef<HTMLDivElement>(null);
  const id = useId();
  const [spot, setSpot] = useState<Spot>(NOBODY);
  const active = place(spot, count, row, rowKey);
  const key = active < 0 ? null : keyOf(row(active), rowKey);
  useEffect(() => {
    // Where it is now; and who it is, once a row that was gone to is here.
    setSpot((old) => (old.at === active && (old.key ?? key) === old.key ? old : { at: active, key: old.key ?? key }));
  }, [active, key]);
  const virtual = useVirtualizer({ count, getScrollElement: () => scroller.current, estimateSize: () => ROW, overscan: 12, scrollPaddingStart: ROW });
  const items = virtual.getVirtualItems();
  const end = items.at(-1)?.index ?? -1;
  useEffect(() => {
    if (end >= 0) onReach?.(end);
  }, [end, onReach]);

  const from = useRef(-1); // where the last box was ticked: with Shift all up to here go with it
  const pick = (place: number, far: boolean): void => {
    const here = row(place);
    if (!chosen || !onChoose || here === undefined) return;
    onChoose(far && from.current >= 0 ? between(from.current, Math.min(place, count - 1)) : [place], !chosen.has(rowKey(here)));
    from.current = place;
    setSpot({ at: place, key: rowKey(here) });
    scroller.current?.focus({ preventScroll: true });
  };
  const move = (to: number): void => {
    const next = Math.max(0, Math.min(count - 1, to));
    setSpot({ at: next, key: keyOf(row(next), rowKey) });
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
    } else if (event.key === " " && here !== undefined && onChoose) {
      event.preventDefault();
      pick(active, event.shiftKey);
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
      aria-multiselectable={onChoose ? true : undefined}
      aria-activedescendant={active >= 0 && active < count ? `${id}-${active}` : undefined}
      tabIndex={0}
      onKeyDown={onKeyDown}
    >
      <div role="rowgroup" className="table-head">
        <div role="row" aria-rowindex={1} className="row">
          {columns.map((column, i) => (
            <Head key={column.id} column={column} sort={sort} picks={i === 0 && onChoose !== undefined} {...(onSort ? { onSort } : {})} />
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
            const isChosen = one !== undefined && chosen?.has(rowKey(one)) === true;
            return (
              <div
                key={one === undefined ? `at ${item.index}` : rowKey(one)}
                id={`${id}-${item.index}`}
                role="row"
                aria-rowindex={item.index + 2}
                aria-selected={isActive}
                className={`row ${onOpen ? "row-opens" : ""} ${isChosen ? "row-chosen" : ""}`}
                style={{ transform: `translateY(${item.start}px)` }}
                onClick={(event) => {
                  if (one === undefined || (event.target as HTMLElement).closest("a, button, input")) return;
                  if (event.shiftKey && onChoose) return pick(item.index, true);
                  if (window.getSelection()?.toString()) return; // text was marked, to be copied
                  setSpot({ at: item.index, key: rowKey(one) });
                  onOpen?.(one);
                }}
              >
                {columns.map((column, i) => (
                  <div key={column.id} role="gridcell" className={`cell ${column.right ? "right" : ""} ${i === 0 && onChoose ? "picks" : ""}`}>
                    {i === 0 && onChoose && one !== undefined ? (
                      <input type="checkbox" className="pick" tabIndex={-1} aria-label={`Choose ${rowName?.(one) ?? rowKey(one)}`} checked={isChosen} onChange={() => {}} onClick={(event) => pick(item.index, event.shiftKey)} />
                    ) : null}
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
interface Spot {
  at: number;
  key: string | null;
}
const NOBODY: Spot = { at: -1, key: null };

const keyOf = <Row,>(row: Row | undefined, rowKey: (row: Row) => string): string | null => (row === undefined ? null : rowKey(row));

/** Where that row is now; -1: nowhere. */
function place<Row>({ at, key }: Spot, count: number, row: (index: number) => Row | undefined, rowKey: (row: Row) => string): number {
  if (at < 0 || key === null || (at < count && keyOf(row(at), rowKey) === key)) return at < count ? at : -1;
  for (let i = 0; i < count; i += 1) if (keyOf(row(i), rowKey) === key) return i;
  return -1;
}

function Head<Row>({ column, sort, picks, onSort }: { column: Column<Row>; sort: string; picks: boolean; onSort?: (sort: string) => void }) {
  const by = column.sort;
  const down = sort === `-${by}`;
  const is = by !== undefined && (down || sort === by);
  const order = is ? (down ? "descending" : "ascending") : undefined;
  // Numbers and times are first wanted greatest first, unless they are sorted so already.
  const next = is ? (down ? by : `-${by}`) : column.right ? `-${by}` : by;
  return (
    <div role="columnheader" aria-sort={order} className={`cell ${column.right ? "right" : ""} ${picks ? "picks" : ""}`} title={column.hint}>
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
