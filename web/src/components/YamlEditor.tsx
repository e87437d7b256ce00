/** A sweep file as text: line numbers, the line that is wrong, completion at the caret. A textarea, so that the browser's own editing is all there. */
import { useId, useMemo, useRef, useState } from "react";
import { type Completion, complete, type Known } from "../lib/complete.ts";

interface Props {
  value: string;
  onChange: (text: string) => void;
  known: Known | undefined;
  /** The line that is wrong, from 1. */
  line: number | null;
  /** The id of what says what is wrong. */
  describedBy: string | undefined;
}

const LINE = 20;
const PADDING = 10;

export function YamlEditor({ value, onChange, known, line, describedBy }: Props) {
  const area = useRef<HTMLTextAreaElement>(null);
  const id = useId();
  const [caret, setCaret] = useState(0);
  const [open, setOpen] = useState<"no" | "typing" | "asked">("no");
  const [at, setAt] = useState(0);
  const [scroll, setScroll] = useState({ top: 0, left: 0 });
  const found = useMemo(() => (known && open !== "no" ? complete(value, caret, known, open === "asked") : []), [known, open, value, caret]);
  const lines = useMemo(() => value.split("\n").length, [value]);
  const before = value.slice(0, found[0]?.from ?? caret);
  const row = before.split("\n").length - 1;
  const column = before.length - (before.lastIndexOf("\n") + 1);

  const close = (): void => {
    setOpen("no");
    setAt(0);
  };
  const put = (text: string, from: number, to: number): void => {
    const input = area.current;
    if (!input) return;
    input.focus();
    input.setSelectionRange(from, to);
    // The old way keeps the browser's undo; where it is gone the text is put in directly.
    if (!document.execCommand("insertText", false, text)) onChange(value.slice(0, from) + text + value.slice(to));
  };
  const take = (one: Completion): void => {
    put(one.text, one.from, one.to);
    setOpen(one.text.endsWith(": ") ? "typing" : "no");
    setAt(0);
  };
  const onKeyDown = (event: React.KeyboardEvent<HTMLTextAreaElement>): void => {
    if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      setOpen("asked");
      setAt(0);
    } else if (found.length && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      setAt((at + (event.key === "ArrowDown" ? 1 : -1) + found.length) % found.length);
    } else if (found.length && (event.key === "Enter" || event.key === "Tab") && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      take(found[at] as Completion);
    } else if (found.length && event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      close();
    } else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
      // The next line begins where this one did, below a key two further in.
      const own = value.slice(value.lastIndexOf("\n", event.currentTarget.selectionStart - 1) + 1, event.currentTarget.selectionStart);
      const indent = `${/^\s*/.exec(own)?.[0] ?? ""}${/:\s*$/.test(own) ? "  " : ""}`;
      if (indent) {
        event.preventDefault();
        put(`\n${indent}`, event.currentTarget.selectionStart, event.currentTarget.selectionEnd);
      }
    }
  };
  return (
    <div className="yaml">
      <div className="yaml-lines" aria-hidden="true" style={{ transform: `translateY(${-scroll.top}px)` }}>
        {Array.from({ length: lines }, (_, i) => (
          <div key={i} className={i + 1 === line ? "yaml-wrong" : ""}>
            {i + 1}
          </div>
        ))}
      </div>
      <textarea
        ref={area}
        aria-label="Sweep file (YAML)"
        aria-haspopup="listbox"
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        aria-activedescendant={found.length ? `${id}-${at}` : undefined}
        aria-invalid={line !== null}
        aria-describedby={describedBy}
        spellCheck={false}
        autoComplete="off"
        autoCapitalize="off"
        wrap="off"
        rows={Math.max(14, Math.min(34, lines + 1))}
        value={value}
        onChange={(event) => {
          setCaret(event.target.selectionStart);
          onChange(event.target.value);
          setOpen("typing");
          setAt(0);
        }}
        onSelect={(event) => setCaret(event.currentTarget.selectionStart)}
        onScroll={(event) => setScroll({ top: event.currentTarget.scrollTop, left: event.currentTarget.scrollLeft })}
        onBlur={close}
        onPointerDown={close}
        onKeyDown={onKeyDown}
      />
      <ul id={`${id}-list`} role="listbox" aria-label="Completions" className="proposals yaml-list" hidden={!found.length} style={{ top: PADDING + (row + 1) * LINE - scroll.top + 2, left: `min(calc(52px + ${column}ch - ${scroll.left}px), max(8px, 100% - 460px))` }}>
        {found.map((one, i) => (
          <li
            key={one.text}
            id={`${id}-${i}`}
            role="option"
            aria-selected={i === at}
            onPointerDown={(event) => {
              event.preventDefault();
              take(one);
            }}
          >
            <code>{one.text.trim()}</code>
            <span title={one.about}>{one.about}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
