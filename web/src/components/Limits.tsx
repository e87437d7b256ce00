/** What a trial must keep to be the best, about values that only it can tell: a line for each. */
import { useEffect, useRef } from "react";
import { addLimit, dropLimit, type LimitRow, putBound, renamedLimit } from "../lib/conditions.ts";
import { Button } from "./Button.tsx";
import { Field } from "./Field.tsx";

interface Props {
  text: string;
  rows: readonly LimitRow[];
  onChange: (text: string) => void;
  /** What is wrong with a key of the file. */
  wrong: (path: string) => string | undefined;
  /** Names that are likely. */
  names: readonly string[];
}

export function Limits({ text, rows, onChange, wrong, names }: Props) {
  const root = useRef<HTMLDivElement>(null);
  const fresh = useRef(false);
  useEffect(() => {
    if (!fresh.current) return;
    fresh.current = false;
    const input = [...(root.current?.querySelectorAll<HTMLInputElement>(".limit-name input") ?? [])].at(-1);
    input?.focus();
    input?.select();
  }, [rows.length]);
  return (
    <div className="limits" ref={root}>
      {rows.map(({ name, low, high }, i) => {
        const bounds = { max: wrong(`limits.${name}.max`), min: wrong(`limits.${name}.min`) };
        return (
          <div key={i} className="limit" role="group" aria-label={`limit of ${name}`}>
            <Field
              className="limit-name"
              label="limit"
              full={`limit ${i + 1}: value`}
              value={name}
              list={names}
              placeholder="latency_ms"
              hint={i ? undefined : "as the trial reports it; or seconds"}
              wrong={bounds.max || bounds.min ? undefined : wrong(`limits.${name}`)}
              onChange={() => {}}
              onDone={(typed) => {
                const made = renamedLimit(text, name, typed);
                if (made !== false) onChange(made);
                return made !== false ? null : typed.trim() ? `There is another ${typed.trim()}.` : "It needs a name.";
              }}
            />
            <Field label="at most" full={`${name}: at most`} value={high} mode="decimal" placeholder="–" wrong={bounds.max} onChange={(typed) => onChange(putBound(text, name, "max", typed))} />
            <Field label="at least" full={`${name}: at least`} value={low} mode="decimal" placeholder="–" wrong={bounds.min} onChange={(typed) => onChange(putBound(text, name, "min", typed))} />
            <Button
              kind="quiet"
              aria-label={`Leave the limit of ${name} out`}
              title="Leave it out"
              onClick={() => {
                onChange(dropLimit(text, name));
                requestAnimationFrame(() => {
                  const all = [...(root.current?.querySelectorAll<HTMLElement>("button") ?? [])];
                  all[Math.min(i, all.length - 1)]?.focus();
                });
              }}
            >
              ×
            </Button>
          </div>
        );
      })}
      <div>
        <Button
          kind="quiet"
          title="What a trial must keep to be the best"
          onClick={() => {
            fresh.current = true;
            onChange(addLimit(text));
          }}
        >
          Add a limit
        </Button>
      </div>
    </div>
  );
}
