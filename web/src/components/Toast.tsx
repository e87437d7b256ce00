/** A line at the edge of the page that says what came of an action. */
import { createContext, type ReactNode, useCallback, useContext, useMemo, useState } from "react";
import { said } from "./Status.tsx";

interface Note {
  id: number;
  text: string;
  fix: string;
  bad: boolean;
}

interface Toasts {
  /** Say that something was done. */
  tell: (text: string) => void;
  /** Say that it failed: stays until it is put away. */
  fail: (error: unknown) => void;
}

const Context = createContext<Toasts>({ tell: () => {}, fail: () => {} });
export const useToasts = (): Toasts => useContext(Context);

let last = 0;

export function ToastArea({ children }: { children: ReactNode }) {
  const [notes, setNotes] = useState<Note[]>([]);
  const drop = useCallback((id: number) => setNotes((all) => all.filter((one) => one.id !== id)), []);
  const toasts = useMemo<Toasts>(() => {
    const add = (note: Omit<Note, "id">): number => {
      last += 1;
      const id = last;
      setNotes((all) => [...all.slice(-3), { ...note, id }]);
      return id;
    };
    return {
      tell: (text) => {
        const id = add({ text, fix: "", bad: false });
        setTimeout(() => drop(id), 5000);
      },
      fail: (error) => {
        const { title, fix } = said(error);
        add({ text: title, fix, bad: true });
      },
    };
  }, [drop]);
  return (
    <Context value={toasts}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {notes.map((note) => (
          <div key={note.id} className={`toast ${note.bad ? "toast-bad" : ""}`}>
            <div>
              {note.text}
              {note.fix ? <div className="toast-fix">{note.fix}</div> : null}
            </div>
            <button type="button" className="button button-quiet" aria-label="Put this message away" onClick={() => drop(note.id)}>
              ×
            </button>
          </div>
        ))}
      </div>
    </Context>
  );
}
