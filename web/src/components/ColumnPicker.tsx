import { useMemo, useState } from "react";
import { Button } from "./Button.tsx";
import { Menu } from "./Menu.tsx";

interface Props {
  names: { metrics: string[]; config: string[]; summary: string[]; attrs: string[] } | undefined;
  chosen: readonly string[];
  /** Whether what is chosen is what the page chose. */
  standard: boolean;
  /** null: as the page chooses. */
  onChange: (columns: readonly string[] | null) => void;
  /** What is picked, where it is not columns. */
  label?: string;
}

const MOST = 200;

/** Which columns a run table has, besides those that it always has. */
export function ColumnPicker({ names, chosen, standard, onChange, label = "Columns" }: Props) {
  const [part, setPart] = useState("");
  const groups = useMemo(() => {
    const of = names ?? { metrics: [], config: [], summary: [], attrs: [] };
    return (["metrics", "config", "summary", "attrs"] as const).map((head) => [head, of[head].filter((name) => name.toLowerCase().includes(part.toLowerCase())).map((name) => `${head}.${name}`)] as const).filter(([, all]) => all.length);
  }, [names, part]);
  const is = new Set(chosen);
  return (
    <Menu label={label} kind="panel" align={label === "Columns" ? "right" : "left"}>
      <div className="picker">
        <input type="search" aria-label="Find by name" placeholder="Find by name" value={part} onChange={(event) => setPart(event.target.value)} />
        <div className="picker-list">
          {groups.map(([head, all]) => (
            <fieldset key={head}>
              <legend>{head}</legend>
              {all.slice(0, MOST).map((name) => (
                <label key={name} title={name}>
                  <input type="checkbox" checked={is.has(name)} onChange={() => onChange(is.has(name) ? chosen.filter((one) => one !== name) : [...chosen, name])} />
                  <span>{name.slice(head.length + 1)}</span>
                </label>
              ))}
              {all.length > MOST ? <p className="note">and {all.length - MOST} more: find them by name</p> : null}
            </fieldset>
          ))}
          {groups.length ? null : <p className="note">Nothing is called like that.</p>}
        </div>
        <div className="picker-end">
          <Button kind="quiet" disabled={standard} onClick={() => onChange(null)}>
            As at first
          </Button>
        </div>
      </div>
    </Menu>
  );
}
