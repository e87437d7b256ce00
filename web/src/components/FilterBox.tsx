/** Where filters are written: proposals at the caret, the server's word on what is wrong. */
import { useEffect, useId, useMemo, useRef, useState } from "react";
import { Problem } from "../api/client.ts";
import { propose } from "../lib/filter.ts";

interface Props {
  value: string;
  onChange: (filter: string) => void;
  columns: readonly string[];
  error: unknown;
}

export function FilterBox({ value, onChange, columns, error }: Props) {
  const [text, setText] = useState(value);
  const [caret, setCaret] = useState(0);
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  const id = useId();
  useEffect(() => setText(value), [value]);
  const proposals = useMemo(() => (open ? propose(text, caret, columns) : []), [open, text, caret, columns]);
  const wrong = error instanceof Problem && error.status === 422 && text === value ? error : null;

  const apply = (filter: string): void => {
    setOpen(false);
    setAt(-1);
    if (filter.trim() !== value) onChange(filter.trim());
  };
  const take = (index: number): void => {
    const one = proposals[index];
    if (!one) return;
    const made = text.slice(0, one.from) + one.text + text.slice(one.to);
    const place = one.from + one.text.length;
    setText(made);
    setCaret(place);
    setAt(-1);
    if (one.kind === "text in the name") apply(made);
    requestAnimationFrame(() => input.current?.setSelectionRange(place, place));
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      setOpen(true);
      if (proposals.length) setAt((at + (event.key === "ArrowDown" ? 1 : at < 0 ? 0 : -1) + proposals.length) % proposals.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (at >= 0) take(at);
      else apply(text);
    } else if (event.key === "Tab" && at >= 0 && !event.shiftKey) {
      event.preventDefault();
      take(at);
    } else if (event.key === "Escape") {
      if (open && proposals.length) setOpen(false);
      else {
        setText(value);
        input.current?.blur();
      }
      setAt(-1);
    }
  };
  return (
    <div className="filter">
      <input
        ref={input}
        id="filter"
        type="search"
        role="combobox"
        aria-label="Filter"
        aria-expanded={proposals.length > 0}
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        aria-activedescendant={at >= 0 ? `${id}-${at}` : undefined}
        aria-invalid={wrong !== null}
        aria-describedby={wrong ? `${id}-wrong` : undefined}
        placeholder='Filter: val_loss < 0.3 and config.optimizer == "adam"'
        spellCheck={false}
        autoComplete="off"
        maxLength={2000}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setCaret(event.target.selectionStart ?? event.target.value.length);
          setOpen(true);
          setAt(-1);
          if (event.target.value === "") apply("");
        }}
        onSelect={(event) => setCaret(event.currentTarget.selectionStart ?? 0)}
        onFocus={() => setOpen(true)}
        onBlur={() => {
          setOpen(false);
          setAt(-1);
        }}
        onKeyDown={onKeyDown}
      />
      <kbd aria-hidden="true">/</kbd>
      <ul id={`${id}-list`} role="listbox" aria-label="Proposals" className="proposals" hidden={!proposals.length}>
        {proposals.map((one, i) => (
          <li
            key={`${one.kind} ${one.text}`}
            id={`${id}-${i}`}
            role="option"
            aria-selected={i === at}
            onPointerDown={(event) => {
              event.preventDefault();
              take(i);
            }}
          >
            <code>{one.text.trim()}</code>
            <span>{one.kind}</span>
          </li>
        ))}
      </ul>
      {wrong ? (
        <div id={`${id}-wrong`} role="alert" className="filter-wrong">
          {wrong.message}
          {wrong.fix ? ` – ${wrong.fix}` : ""}
        </div>
      ) : null}
    </div>
  );
}
