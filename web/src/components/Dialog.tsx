import { type ReactNode, useEffect, useId, useRef } from "react";
import { Button } from "./Button.tsx";

/** A question or a piece of help over the page, which can't be used meanwhile. Escape closes it. */
export function Dialog({ title, onClose, children, actions }: { title: string; onClose: () => void; children: ReactNode; actions?: ReactNode }) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    ref.current?.showModal();
  }, []);
  return (
    <dialog
      ref={ref}
      className="dialog"
      aria-labelledby={id}
      onClose={onClose}
      onClick={(event) => {
        if (event.target === ref.current) ref.current?.close();
      }}
    >
      <div className="dialog-inner">
        <h2 id={id}>{title}</h2>
        {children}
        <div className="dialog-actions">
          <Button onClick={() => ref.current?.close()}>{actions ? "Go back" : "Close"}</Button>
          {actions}
        </div>
      </div>
    </dialog>
  );
}
