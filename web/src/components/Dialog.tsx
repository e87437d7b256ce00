import { type ReactNode, useId, useLayoutEffect, useRef } from "react";
import { Button } from "./Button.tsx";

/** A question or a piece of help over the page, which can't be used meanwhile. Escape closes it. */
export function Dialog({ title, onClose, children, actions }: { title: string; onClose: () => void; children: ReactNode; actions?: ReactNode }) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  const isOutside = useRef(false);
  useLayoutEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close(); // while it is still in the page, so that the focus goes back to where it was
  }, []);
  return (
    <dialog
      ref={ref}
      className="dialog"
      aria-labelledby={id}
      onClose={() => {
        if (!ref.current?.open) onClose(); // of a dialog that was opened again meanwhile this is old news
      }}
      onPointerDown={(event) => {
        isOutside.current = event.target === ref.current;
      }}
      onClick={(event) => {
        if (event.target === ref.current && isOutside.current) ref.current?.close(); // not where text was marked by a wide sweep of the hand
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
