/** The same ranges as on the axes, to be typed: for the keyboard, and for those who know the number. */
import { useEffect, useState } from "react";
import type { Brush, Plain } from "../lib/brush.ts";
import { plain, short } from "../lib/format.ts";
import type { Axis } from "../lib/parallel.ts";

interface Props {
  axes: readonly Axis[];
  brushes: ReadonlyMap<string, Brush>;
  onChange: (brushes: ReadonlyMap<string, Brush>) => void;
}

export function Ranges({ axes, brushes, onChange }: Props) {
  const put = (name: string, brush: Brush | null): void => {
    const all = new Map(brushes);
    if (brush) all.set(name, brush);
    else all.delete(name);
    onChange(all);
  };
  return (
    <details className="ranges">
      <summary>Ranges as a table</summary>
      <div className="scroll" tabIndex={0}>
        <table className="plain">
          <thead>
            <tr>
              <th>axis</th>
              <th className="left">shows</th>
              <th className="left">only</th>
            </tr>
          </thead>
          <tbody>
            {axes.filter((axis) => axis.brushable).map((axis) => (
              <tr key={axis.name}>
                <th scope="row" className="text" title={axis.name}>
                  {axis.name}
                </th>
                <td className="left">{axis.scale ? `${short(axis.scale.low)} to ${short(axis.scale.high)}${axis.scale.log ? ", log" : ""}` : `${axis.options.length} options`}</td>
                <td className="left">
                  {axis.scale ? (
                    <span className="ranges-numbers">
                      <Bound label={`${axis.name} from`} value={brushes.get(axis.name)?.low} onChange={(low) => put(axis.name, bounds(low, brushes.get(axis.name)?.high))} /> to{" "}
                      <Bound label={`${axis.name} to`} value={brushes.get(axis.name)?.high} onChange={(high) => put(axis.name, bounds(brushes.get(axis.name)?.low, high))} />
                    </span>
                  ) : (
                    <span className="ranges-options">
                      {(axis.options as Plain[]).map((option) => {
                        const chosen = brushes.get(axis.name)?.options ?? [];
                        const is = chosen.includes(option);
                        const next = axis.options.filter((one) => (one === option ? !is : chosen.includes(one as Plain))) as Plain[];
                        return (
                          <label key={String(option)}>
                            <input type="checkbox" checked={is} onChange={() => put(axis.name, next.length && next.length < axis.options.length ? { options: next } : null)} /> {plain(option) || "none"}
                          </label>
                        );
                      })}
                    </span>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

const bounds = (low: number | undefined, high: number | undefined): Brush | null => (low === undefined && high === undefined ? null : { ...(low === undefined ? {} : { low }), ...(high === undefined ? {} : { high }) });

function Bound({ label, value, onChange }: { label: string; value: number | undefined; onChange: (value: number | undefined) => void }) {
  const [text, setText] = useState("");
  useEffect(() => setText(value === undefined ? "" : String(value)), [value]);
  const done = (): void => {
    const number = Number(text);
    if (text.trim() === "") value !== undefined && onChange(undefined);
    else if (!Number.isFinite(number)) setText(value === undefined ? "" : String(value));
    else if (number !== value) onChange(number);
  };
  return <input className="input" inputMode="decimal" aria-label={label} value={text} placeholder="any" onChange={(event) => setText(event.target.value)} onBlur={done} onKeyDown={(event) => event.key === "Enter" && done()} />;
}
