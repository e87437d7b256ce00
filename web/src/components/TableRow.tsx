/** One row of the table. It is drawn anew where something of it changed, not whenever another row came into sight. */
import { replaceEqualDeep } from "@tanstack/react-query";
import { memo } from "react";
import type { Column } from "./Table.tsx";

/** What a row can be asked for; the same object as long as the table is there. */
export interface Acts<Row> {
  open: (row: Row, at: number) => void;
  /** In a tab of its own. */
  openApart: (row: Row) => void;
  /** Its box, or with Shift all up to here. */
  pick: (at: number, far: boolean) => void;
  nameOf: (row: Row) => string;
}

interface Props<Row> {
  id: string;
  index: number;
  /** Where it begins, in pixels. */
  start: number;
  columns: readonly Column<Row>[];
  /** Undefined: not here yet. */
  row: Row | undefined;
  isActive: boolean;
  /** Undefined: rows can't be chosen. */
  isChosen: boolean | undefined;
  opens: boolean;
  opensApart: boolean;
  acts: Acts<Row>;
}

function Drawn<Row>({ id, index, start, columns, row, isActive, isChosen, opens, opensApart, acts }: Props<Row>) {
  const picks = isChosen !== undefined;
  return (
    <div
      id={id}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={isChosen ?? isActive}
      aria-busy={row ? undefined : true}
      className={`row ${row ? "" : "row-coming"} ${opens ? "row-opens" : ""} ${isActive ? "row-active" : ""} ${isChosen ? "row-chosen" : ""}`}
      style={{ transform: `translateY(${start}px)` }}
      onClick={(event) => {
        if (row === undefined || (event.target as HTMLElement).closest("a, button, input")) return;
        if (event.shiftKey && picks) return acts.pick(index, true);
        if ((event.ctrlKey || event.metaKey) && opensApart) return acts.openApart(row);
        if (window.getSelection()?.toString()) return; // text was marked, to be copied
        acts.open(row, index);
      }}
    >
      {columns.map((column, i) => (
        <div key={column.id} role="gridcell" className={`cell ${column.right ? "right" : ""} ${i === 0 && picks ? "picks" : ""}`} title={row && column.whole?.(row)}>
          {i === 0 && picks && row !== undefined ? (
            <input type="checkbox" className="pick" tabIndex={-1} aria-label={`Choose ${acts.nameOf(row)}`} checked={isChosen} onChange={() => {}} onClick={(event) => acts.pick(index, event.shiftKey)} />
          ) : null}
          {row && column.cell(row)}
        </div>
      ))}
    </div>
  );
}

/** Rows that came anew may be what they were. */
function isSame<Row>(old: Props<Row>, now: Props<Row>): boolean {
  for (const name of Object.keys(now) as (keyof Props<Row>)[]) if (name !== "row" && old[name] !== now[name]) return false;
  return replaceEqualDeep(old.row, now.row) === old.row;
}

export const TableRow = memo(Drawn, isSame) as typeof Drawn;
