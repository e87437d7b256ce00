import type { ButtonHTMLAttributes } from "react";

type Props = ButtonHTMLAttributes<HTMLButtonElement> & {
  /** `main`: the one thing to do here. `danger`: it can't be undone. */
  kind?: "main" | "danger" | "quiet";
};

export function Button({ kind, className = "", ...rest }: Props) {
  return <button type="button" className={`button ${kind ? `button-${kind}` : ""} ${className}`} {...rest} />;
}

/** One of a few: which is chosen is seen. */
export function Choice<T extends string>({ label, value, options, onChange }: { label: string; value: T; options: readonly (readonly [T, string])[]; onChange: (value: T) => void }) {
  return (
    <div role="group" aria-label={label} className="choice">
      {options.map(([one, text]) => (
        <button key={one} type="button" aria-pressed={one === value} onClick={() => onChange(one)}>
          {text}
        </button>
      ))}
    </div>
  );
}
