/** A sweep as it happens: the server says that something changed, and what is shown of it is asked for again. */
import { type Query, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState, useSyncExternalStore } from "react";
import { ask, setReachable } from "./reachable.ts";

const SOON_MS = 250;
const MOST_MS = 10_000;
const AGAIN_MS = 3000;

const onVisibility = (tell: () => void): (() => void) => {
  document.addEventListener("visibilitychange", tell);
  return () => document.removeEventListener("visibilitychange", tell);
};

/** Keep what is shown of a sweep fresh; returns whether the stream stands. `since` is the revision that is known; undefined: not yet. */
export function useLive(id: string, since: number | undefined): boolean {
  const client = useQueryClient();
  const [open, setOpen] = useState(false);
  const [attempt, setAttempt] = useState(0);
  const known = since !== undefined;
  // A browser has six connections to a server, for all of its tabs: those that nobody looks at keep none.
  const seen = useSyncExternalStore(onVisibility, () => !document.hidden);
  useEffect(() => {
    if (!known || !seen) return;
    const mine = { predicate: ({ queryKey }: Query): boolean => (queryKey[0] === "sweep" && queryKey[1] === id) || (queryKey[0] === "runs" && JSON.stringify(queryKey).includes(id)) };
    let timer: ReturnType<typeof setTimeout> | undefined;
    let reopening: ReturnType<typeof setTimeout> | undefined;
    let next = 0; // when it may be asked for again: the first change is shown at once, those that follow it closely together
    let running = false;
    let again = false;
    let over = false;
    const source = new EventSource(`/api/v1/sweeps/${encodeURIComponent(id)}/events?since=${since}`);
    const refresh = async (): Promise<void> => {
      const begun = performance.now();
      timer = undefined;
      running = true;
      again = false;
      // What is on its way may be from before the change. Asking again would do, but not for a first answer, which would be taken as it comes.
      await client.cancelQueries(mine);
      // The table first: the server computes the figures of ten thousand trials for longer than it looks the rows up.
      await client.invalidateQueries({ predicate: (query) => mine.predicate(query) && (query.queryKey[0] === "runs" || query.queryKey.length === 2) });
      await client.invalidateQueries({ predicate: (query) => mine.predicate(query) && query.queryKey[0] !== "runs" && query.queryKey.length > 2 });
      running = false;
      const ended = performance.now();
      next = ended + Math.min(MOST_MS, Math.max(SOON_MS, 2 * (ended - begun))); // a long history is asked for less often
      if (again && !over) later();
    };
    const later = (): void => {
      if (running) again = true;
      else timer ??= setTimeout(() => void refresh(), Math.max(0, next - performance.now()));
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
      void ask();
      // The browser tries again by itself where the connection broke, but not where the answer was a refusal.
      if (source.readyState === EventSource.CLOSED) reopening = setTimeout(() => setAttempt((count) => count + 1), AGAIN_MS);
    };
    return () => {
      over = true;
      clearTimeout(timer);
      clearTimeout(reopening);
      source.close();
      setOpen(false);
    };
    // The stream goes on from its own last event; a newer `since` is no reason to begin another one.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [id, known, seen, attempt, client]);
  return open;
}
