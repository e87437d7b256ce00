/** A sweep as it happens: the server says that something changed, and what is shown of it is asked for again. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { setReachable } from "./reachable.ts";

const SOON_MS = 250;
const MOST_MS = 10_000;

/** Keep what is shown of a sweep fresh; returns whether the stream stands. `since` is the revision that is known; undefined: not yet. */
export function useLive(id: string, since: number | undefined): boolean {
  const client = useQueryClient();
  const [open, setOpen] = useState(false);
  const known = since !== undefined;
  useEffect(() => {
    if (!known) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let wait = SOON_MS;
    let again = false;
    const source = new EventSource(`/api/v1/sweeps/${encodeURIComponent(id)}/events?since=${since}`);
    const refresh = async (): Promise<void> => {
      const begun = performance.now();
      await Promise.all([
        client.invalidateQueries({ queryKey: ["sweep", id] }),
        client.invalidateQueries({ queryKey: ["runs"], predicate: (query) => JSON.stringify(query.queryKey).includes(id) }),
      ]);
      wait = Math.min(MOST_MS, Math.max(SOON_MS, 4 * (performance.now() - begun))); // a long history is asked for less often
      timer = undefined;
      if (again) later();
    };
    const later = (): void => {
      again = timer !== undefined;
      if (timer === undefined) timer = setTimeout(refresh, wait);
    };
    let first = true;
    source.addEventListener("changes", (event) => {
      const { revision } = JSON.parse((event as MessageEvent<string>).data) as { revision: number };
      if (first && revision === since) {
        first = false; // the greeting: it says what the page has just read
        return;
      }
      first = false;
      later();
    });
    source.onopen = () => {
      setOpen(true);
      setReachable(true);
    };
    source.onerror = () => {
      setOpen(false);
      if (source.readyState === EventSource.CLOSED) setReachable(false); // refused for good: the page asks anew when the server is back
    };
    return () => {
      clearTimeout(timer);
      source.close();
      setOpen(false);
    };
    // The stream goes on from its own last event; a newer `since` is no reason to begin another one.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [id, known, client]);
  return open;
}
