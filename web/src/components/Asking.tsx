/** A dialog about a sweep that ends with a question to the server. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { ReactNode } from "react";
import type { SweepFull } from "../api/client.ts";
import { Button } from "./Button.tsx";
import { Dialog } from "./Dialog.tsx";
import { said } from "./Status.tsx";
import { useToasts } from "./Toast.tsx";

/** What the server has against it is shown where it was asked. */
export function Asking<T>({ title, verb, ask: send, done, sweep, disabled = false, onClose, children }: { title: string; verb: string; disabled?: boolean; ask: () => Promise<T>; done: (answer: T) => string; sweep: SweepFull; onClose: () => void; children: ReactNode }) {
  const client = useQueryClient();
  const { tell } = useToasts();
  const change = useMutation({
    mutationFn: send,
    onSuccess: (answer) => {
      tell(done(answer));
      void client.invalidateQueries({ queryKey: ["sweep", sweep.id] });
      void client.invalidateQueries({ queryKey: ["runs"] });
      onClose();
    },
  });
  const wrong = change.isError ? said(change.error) : null;
  return (
    <Dialog
      title={title}
      onClose={onClose}
      actions={
        <Button kind="main" disabled={disabled || change.isPending} onClick={() => change.mutate()}>
          {verb}
        </Button>
      }
    >
      <form
        className="asking"
        onSubmit={(event) => {
          event.preventDefault();
          if (!disabled && !change.isPending) change.mutate();
        }}
      >
        {children}
        <button type="submit" hidden aria-hidden="true" tabIndex={-1} />
      </form>
      {wrong ? (
        <div role="alert" className="wrong">
          {wrong.title}
          {wrong.fix ? <div className="toast-fix">{wrong.fix}</div> : null}
        </div>
      ) : null}
    </Dialog>
  );
}
