/** Things side by side: what they are called and how they are drawn, and a table in which each has a column. */
import type { CSSProperties, ReactNode } from "react";
import { dashOf } from "../lib/compare.ts";
import "./beside.css";
import { Val } from "./Value.tsx";

/** A piece of the line that something is drawn with. */
export function Swatch({ place }: { place: number }) {
  return (
    <svg className={`swatch series-${(place % 8) + 1}`} viewBox="0 0 22 10" width="22" height="10" aria-hidden="true">
      <path d="M0 5h22" strokeDasharray={dashOf(place).join(" ")} />
    </svg>
  );
}

export interface Named {
  id: string;
  name: string;
  place: number;
}

interface LegendProps {
  of: readonly Named[];
  /** Whose lines are not drawn. */
  hidden: ReadonlySet<string>;
  onHide: (id: string, hide: boolean) => void;
  onDrop: (id: string) => void;
  near: string | null;
  onNear: (id: string | null) => void;
}

/** The one legend of all charts: a press hides a line or shows it again, the pointer makes it stand out. */
export function Legend({ of, hidden, onHide, onDrop, near, onNear }: LegendProps) {
  return (
    <ul className="legend" aria-label="Lines" onPointerLeave={() => onNear(null)}>
      {of.map(({ id, name, place }) => (
        <li key={id} className={near === id ? "legend-near" : ""} onPointerEnter={() => onNear(id)}>
          <button type="button" className="legend-name" aria-pressed={!hidden.has(id)} title={hidden.has(id) ? `${name}: hidden` : name} onClick={() => onHide(id, !hidden.has(id))} onFocus={() => onNear(id)} onBlur={() => onNear(null)}>
            <Swatch place={place} />
            <span className="text">{name}</span>
          </button>
          <button type="button" className="legend-drop" aria-label={`Leave out ${name}`} title="Leave out" onClick={() => onDrop(id)}>
            ×
          </button>
        </li>
      ))}
    </ul>
  );
}

export interface BesideRow {
  key: string;
  values: readonly ReactNode[];
  differs?: boolean;
  /** Places of the best. */
  best?: readonly number[];
}

/** A column for each, a row for what they have. What is best has a star before it. */
export function Beside({ label, heads, rows, corner }: { label: string; heads: readonly { id: string; head: ReactNode }[]; rows: readonly BesideRow[]; corner: string }) {
  return (
    <div className="scroll beside" tabIndex={0} role="region" aria-label={label} style={{ "--least": `${(heads.length + 1) * 104}px` } as CSSProperties}>
      <table className="plain">
        <thead>
          <tr>
            <th>{corner}</th>
            {heads.map(({ id, head }) => (
              <th key={id} scope="col">
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.key} className={row.differs === false ? "same" : ""}>
              <th scope="row" title={row.key}>
                {row.key}
              </th>
              {row.values.map((value, i) => (
                <td key={i}>
                  {row.best?.includes(i) ? (
                    <strong className="best">
                      <span role="img" aria-label="best" title="best">
                        ★
                      </span>{" "}
                      {value}
                    </strong>
                  ) : (
                    value
                  )}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export const cells = (values: readonly unknown[]): ReactNode[] => values.map((value, i) => <Val key={i} value={value} />);
