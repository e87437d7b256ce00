/** A line of a form: its name, what is typed, what is wrong with it. */
import { type HTMLAttributes, type ReactNode, useEffect, useId, useState } from "react";

interface Props {
  label: string;
  value: string;
  onChange: (text: string) => void;
  /** Taken over when the field is left, or at Enter; a text says why it is refused, and what was typed stays. */
  onDone?: (text: string) => string | null;
  wrong?: string | undefined;
  /** Ids of what says elsewhere what is wrong with it. */
  wrongAt?: string | undefined;
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
export function Field({ label, value, onChange, onDone, wrong, wrongAt, hint, placeholder, list, mode, seen = true, full, className = "", disabled, title }: Props) {
  const id = useId();
  const [own, setOwn] = useState<string | null>(null);
  const [refusal, setRefusal] = useState<string | null>(null);
  const shown = own ?? value;
  const said = refusal ?? wrong;
  useEffect(() => {
    if (refusal === null) return;
    setRefusal(null);
    setOwn(null);
    // What was refused was of the value before.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [value]);
  const done = (): boolean => {
    const why = own !== null && onDone && own !== value ? onDone(own) : null;
    setRefusal(why);
    if (why === null) setOwn(null);
    return why === null;
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
        aria-invalid={said || wrongAt ? true : undefined}
        aria-describedby={[said ? `${id}-wrong` : hint ? `${id}-hint` : "", wrongAt ?? ""].filter(Boolean).join(" ") || undefined}
        onFocus={() => setOwn(shown)}
        onBlur={() => void done()}
        onChange={(event) => {
          setOwn(event.target.value);
          setRefusal(null);
          if (!onDone) onChange(event.target.value);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && onDone) {
            event.preventDefault();
            // With Ctrl the form is sent: with what was typed here, unless it is refused.
            if (!done()) event.stopPropagation();
          } else if (event.key === "Escape" && onDone) {
            setOwn(value);
            setRefusal(null);
          }
        }}
      />
      {list?.length ? (
        <datalist id={`${id}-list`}>
          {list.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
      ) : null}
      {said ? (
        <span id={`${id}-wrong`} className="wrong">
          {said}
        </span>
      ) : hint ? (
        <span id={`${id}-hint`} className="note">
          {hint}
        </span>
      ) : null}
    </div>
  );
}
