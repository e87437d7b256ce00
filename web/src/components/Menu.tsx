import { type ReactNode, useEffect, useId, useRef, useState } from "react";

interface Props {
  /** What the button shows. */
  label: ReactNode;
  /** What it is called where it shows only a sign. */
  name?: string;
  align?: "left" | "right";
  /** `menu`: things to do. `panel`: anything else, such as boxes to tick. */
  kind?: "menu" | "panel";
  children: ReactNode | ((close: () => void) => ReactNode);
}

/** A button with what it opens below it. Arrow keys move, Escape closes and gives the focus back. */
export function Menu({ label, name, align = "left", kind = "menu", children }: Props) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const id = useId();
  const close = (): void => {
    setOpen(false);
    button.current?.focus();
  };

  useEffect(() => {
    if (!open) return;
    root.current?.querySelector<HTMLElement>("[data-panel] button:not(:disabled), [data-panel] input")?.focus();
    const away = (event: PointerEvent): void => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", away);
    return () => document.removeEventListener("pointerdown", away);
  }, [open]);

  const onKeyDown = (event: React.KeyboardEvent): void => {
    if (!open) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    }
    if (event.key === "Tab" && kind === "menu") setOpen(false);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const all = [...(root.current?.querySelectorAll<HTMLElement>("[data-panel] button:not(:disabled), [data-panel] input") ?? [])];
    all.at((all.indexOf(document.activeElement as HTMLElement) + step) % all.length)?.focus();
  };

  return (
    <div className="menu" ref={root} onKeyDown={onKeyDown}>
      <button ref={button} type="button" className="button" aria-label={name} title={name} aria-haspopup={kind === "menu" ? "menu" : "dialog"} aria-expanded={open} aria-controls={open ? id : undefined} onClick={() => setOpen(!open)}>
        {label}
      </button>
      {open ? (
        <div id={id} data-panel className={`panel panel-${align}`} role={kind === "menu" ? "menu" : "dialog"} aria-label={name ?? (typeof label === "string" ? label : undefined)}>
          {typeof children === "function" ? children(close) : children}
        </div>
      ) : null}
    </div>
  );
}

/** Something to do, in a menu. */
export function Item({ onSelect, children, disabled, checked }: { onSelect: () => void; children: ReactNode; disabled?: boolean; checked?: boolean }) {
  const role = checked === undefined ? "menuitem" : "menuitemradio";
  return (
    <button type="button" role={role} aria-checked={checked} className="item" disabled={disabled} onClick={onSelect}>
      {children}
    </button>
  );
}
