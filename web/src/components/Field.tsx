/** A line of a form: its name, what is typed, what is wrong with it. */
import { type HTMLAttributes, type ReactNode, useId, useState } from "react";

interface Props {
  label: string;
  value: string;
  onChange: (text: string) => void;
  /** Taken over when the field is left, or at Enter; false: it is refused, and stands as it was. */
  onDone?: (text: string) => boolean;
  wrong?: string | undefined;
  hint?: ReactNode;
  placeholder?: string;
  list?: readonly string[] | undefined;
  mode?: HTMLAttributes<HTMLInputElement>["inputMode"];
  /** The name is seen: otherwise only heard. */
  seen?: boolean;
  /** What it is called for those who can't see what is around it. */
  full?: string;
  className?: string;
  disabled?: boolean;
  title?: string | undefined;
}

/** While somebody types, the text is theirs: `1.` stays `1.` though the file has `1.0` by then. */
export function Field({ label, value, onChange, onDone, wrong, hint, placeholder, list, mode, seen = true, full, className = "", disabled, title }: Props) {
  const id = useId();
  const [own, setOwn] = useState<string | null>(null);
  const shown = own ?? value;
  const done = (): void => {
    if (own !== null && onDone && own !== value) onDone(own);
    setOwn(null);
  };
  return (
    <div className={`field ${className}`} title={title}>
      <label htmlFor={id} className={seen ? "field-name" : "field-name field-name-narrow"}>
        {label}
      </label>
      <input
        id={id}
        className="input"
        aria-label={full}
        value={shown}
        placeholder={placeholder}
        spellCheck={false}
        autoComplete="off"
        disabled={disabled}
        inputMode={mode}
        list={list?.length ? `${id}-list` : undefined}
        aria-invalid={wrong ? true : undefined}
        aria-describedby={wrong ? `${id}-wrong` : hint ? `${id}-hint` : undefined}
        onFocus={() => setOwn(value)}
        onBlur={done}
        onChange={(event) => {
          setOwn(event.target.value);
          if (!onDone) onChange(event.target.value);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && onDone && !event.ctrlKey && !event.metaKey) {
            event.preventDefault();
            if (own !== null && own !== value) onDone(own);
          } else if (event.key === "Escape" && onDone) setOwn(value);
        }}
      />
      {list?.length ? (
        <datalist id={`${id}-list`}>
          {list.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
      ) : null}
      {wrong ? (
        <span id={`${id}-wrong`} className="wrong">
          {wrong}
        </span>
      ) : hint ? (
        <span id={`${id}-hint`} className="note">
          {hint}
        </span>
      ) : null}
    </div>
  );
}
