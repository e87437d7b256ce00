/** The one table: any number of rows, of which those in sight are in the document; the keyboard moves through all of them. */
import { observeElementOffset, observeElementRect, useVirtualizer } from "@tanstack/react-virtual";
import { type CSSProperties, type ReactNode, useEffect, useId, useRef, useState } from "react";
import { type Slots, slots } from "../lib/slots.ts";
import { isPaper, usePaper } from "../lib/theme.ts";
import { type Acts, TableRow } from "./TableRow.tsx";

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
  /** Text by itself where that will do: some hundred cells are drawn with each frame while it is scrolled. */
  cell: (row: Row) => ReactNode;
  /** All of it, on hover. */
  whole?: (row: Row) => string | undefined;
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
  /** Where a row is opened: Ctrl+Enter and Ctrl+click open it in a tab of its own. */
  address?: (row: Row) => string | null;
  /** Which rows are chosen, by key: then each has a box to tick. */
  chosen?: ReadonlySet<string>;
  /** The rows from one place to another are chosen, or no longer. Those between may not be here. */
  onChoose?: (first: number, last: number, on: boolean) => void;
  /** What a row's box is called. */
  rowName?: (row: Row) => string;
  /** The first and the last row that are in sight. */
  onSight?: (first: number, last: number) => void;
  /** Said on paper after which rows are on it: where all of them are. */
  rest?: string | undefined;
  /** Shown in place of rows. */
  empty?: ReactNode;
  /** The most that it is high; without it, what its box gives. */
  className?: string;
}

const ROW = 34;
/** Wider than that, and it is printed on a sheet that lies on its side. */
const SHEET = 960;

export function Table<Row>({ label, columns, count, row, rowKey, sort = "", onSort, onOpen, address, onSight, chosen, onChoose, rowName, rest, empty, className = "" }: Props<Row>) {
  const scroller = useRef<HTMLDivElement>(null);
  const id = useId();
  const [spot, setSpot] = useState<Spot>(NOBODY);
  const active = place(spot, count, row, rowKey);
  const key = active < 0 ? null : keyOf(row(active), rowKey);
  useEffect(() => {
    // Where it is now; and who it is, once a row that was gone to is here.
    setSpot((old) => (old.at === active && (old.key ?? key) === old.key ? old : { at: active, key: old.key ?? key }));
  }, [active, key]);
  const virtual = useVirtualizer({ count, getScrollElement: () => scroller.current, estimateSize: () => ROW, overscan: 6, scrollPaddingStart: ROW, observeElementRect: sized, observeElementOffset: scrolled });
  const items = virtual.getVirtualItems();
  const [begin, end] = [items[0]?.index ?? -1, items.at(-1)?.index ?? -1];
  useEffect(() => {
    if (end >= 0) onSight?.(begin, end);
  }, [begin, end, onSight]);

  const held = useRef<Slots>(new Map());
  const onPaper = usePaper();
  const isReused = useReuse(scroller, virtual.isScrolling) && !onPaper;
  const from = useRef(NOBODY); // the row whose box was ticked last: with Shift all up to here go with it
  const pick = (at: number, far: boolean): void => {
    const here = row(at);
    if (!chosen || !onChoose || here === undefined) return;
    const other = far ? place(from.current, count, row, rowKey) : -1;
    onChoose(Math.min(at, other < 0 ? at : other), Math.max(at, other), !chosen.has(rowKey(here)));
    from.current = { at, key: rowKey(here) };
    setSpot(from.current);
    scroller.current?.focus({ preventScroll: true });
  };
  const openApart = (one: Row): void => {
    const where = address?.(one);
    if (where) window.open(where, "_blank", "noopener");
  };
  const open = (one: Row, at: number): void => {
    setSpot({ at, key: rowKey(one) });
    onOpen?.(one);
  };
  const now: Acts<Row> = { open, openApart, pick, nameOf: rowName ?? rowKey };
  const latest = useRef(now);
  latest.current = now;
  const [acts] = useState<Acts<Row>>(() => ({
    open: (one, at) => latest.current.open(one, at),
    openApart: (one) => latest.current.openApart(one),
    pick: (at, far) => latest.current.pick(at, far),
    nameOf: (one) => latest.current.nameOf(one),
  }));
  const move = (to: number): void => {
    const next = Math.max(0, Math.min(count - 1, to));
    setSpot({ at: next, key: keyOf(row(next), rowKey) });
    virtual.scrollToIndex(next);
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    if (event.target !== scroller.current || event.altKey || !count) return;
    if (event.ctrlKey || event.metaKey) {
      const here = row(active);
      if (event.key === "Enter" && here !== undefined && address) {
        event.preventDefault();
        openApart(here);
      }
      return;
    }
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

  const drawn = new Set<string>();
  const named = items.map((item) => {
    const one = row(item.index);
    const name = keyOf(one, rowKey);
    const isFirst = name !== null && !drawn.has(name); // while rows move one may be here twice
    if (name !== null) drawn.add(name);
    return { item, one, name: isFirst ? name : null, index: item.index };
  });
  held.current = slots(named, held.current, isReused);
  const rows = named.map((one) => ({ ...one, slot: held.current.get(one.name ?? one.index) ?? 0 }));
  // In the document they stand as on the screen, but while it is scrolled none is taken out to be put elsewhere.
  if (isReused) rows.sort((a, b) => a.slot - b.slot);
  const least = columns.reduce((sum, one) => sum + one.width, 0);
  const widths = { "--columns": columns.map((one) => `minmax(${one.width}px, ${one.right ? one.width : one.width * 1.6}fr)`).join(" "), "--least": `${least}px` } as CSSProperties;
  return (
    <>
    <div
      ref={scroller}
      className={`table ${least > SHEET ? "table-wide" : ""} ${className}`}
      style={widths}
      role="grid"
      aria-label={label}
      aria-rowcount={count + 1}
      aria-colcount={columns.length}
      aria-multiselectable={onChoose ? true : undefined}
      aria-activedescendant={items.some((item) => item.index === active) ? `${id}-${active}` : undefined}
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
          {rows.map(({ item, one, slot }) => (
            <TableRow
              key={slot}
              id={`${id}-${item.index}`}
              index={item.index}
              start={item.start}
              columns={columns}
              row={one}
              isActive={item.index === active}
              isChosen={onChoose ? one !== undefined && chosen?.has(rowKey(one)) === true : undefined}
              opens={onOpen !== undefined}
              opensApart={address !== undefined}
              acts={acts}
            />
          ))}
        </div>
      )}
    </div>
    {end - begin + 1 < count ? (
      <p className="on-paper">
        Rows {(begin + 1).toLocaleString("en")}–{(end + 1).toLocaleString("en")} of {count.toLocaleString("en")}: those that were in sight. {rest}
      </p>
    ) : null}
    </>
  );
}

/** Whether elements are reused: while it is scrolled. A press that began before or after that is not parted from its click: rows stay where they are as long. */
function useReuse(scroller: React.RefObject<HTMLDivElement | null>, isScrolling: boolean): boolean {
  const is = useRef(false);
  const isPressed = useRef(false);
  const [, again] = useState(0);
  useEffect(() => {
    const table = scroller.current;
    const press = (event: PointerEvent): void => {
      isPressed.current = event.button === 0 && event.target !== table; // that would be the scroll bar, which is not told of being let go
    };
    const release = (): void => {
      if (!isPressed.current) return;
      isPressed.current = false;
      setTimeout(() => again((count) => count + 1)); // the click comes first
    };
    table?.addEventListener("pointerdown", press);
    window.addEventListener("pointerup", release);
    window.addEventListener("pointercancel", release);
    return () => {
      table?.removeEventListener("pointerdown", press);
      window.removeEventListener("pointerup", release);
      window.removeEventListener("pointercancel", release);
    };
  }, [scroller]);
  if (!isPressed.current) is.current = isScrolling;
  return is.current;
}

/** On paper a table is as high as its rows and not scrolled: there those stay that were in sight. */
const sized: typeof observeElementRect = (table, tell) => observeElementRect(table, (box) => (isPaper() ? undefined : tell(box)));
const scrolled: typeof observeElementOffset = (table, tell) => {
  const stop = observeElementOffset(table, (at, moves) => (isPaper() ? undefined : tell(at, moves)));
  const after = (): void => tell(table.scrollElement?.scrollTop ?? 0, false); // it may have come to rest meanwhile
  window.addEventListener("afterprint", after);
  return () => {
    stop?.();
    window.removeEventListener("afterprint", after);
  };
};

/** The row that the keyboard is at: rows come and go above it. The key is null until the row is here. */
interface Spot {
  at: number;
  key: string | null;
}
const NOBODY: Spot = { at: -1, key: null };

const keyOf = <Row,>(row: Row | undefined, rowKey: (row: Row) => string): string | null => (row === undefined ? null : rowKey(row));

/** Where that row is now; -1: nowhere. */
function place<Row>({ at, key }: Spot, count: number, row: (index: number) => Row | undefined, rowKey: (row: Row) => string): number {
  if (at < 0) return -1;
  if (at < count) {
    const here = keyOf(row(at), rowKey);
    if (key === null || here === null || here === key) return at; // what is not here is where it was
  }
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
