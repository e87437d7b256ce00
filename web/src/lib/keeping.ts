/** What is written for new sweeps, kept until the tab is closed: a reload loses nothing, and neither does a look at another beginning. */
import { useCallback, useState } from "react";

const PLACE = "whet.new";

export interface Kept {
  /** What was written, by what it began with. */
  texts: Record<string, string>;
  /** What was pasted of a script, and the sweep that was made of it. */
  pasted: string;
  flags: { text: string; notices: string[] } | null;
}

const NOTHING: Kept = { texts: {}, pasted: "", flags: null };

function load(): Kept {
  try {
    return { ...NOTHING, ...(JSON.parse(sessionStorage.getItem(PLACE) ?? "{}") as Partial<Kept>) };
  } catch {
    return NOTHING;
  }
}

/** What is kept, and how to keep something. */
export function useKept(): [Kept, (change: (kept: Kept) => Kept) => void] {
  const [kept, setKept] = useState(load);
  const keep = useCallback((change: (kept: Kept) => Kept) => {
    setKept((before) => {
      const after = change(before);
      try {
        sessionStorage.setItem(PLACE, JSON.stringify(after));
      } catch {
        // No room, or no storage: it is kept as long as the page is.
      }
      return after;
    });
  }, []);
  return [kept, keep];
}
