/** A sweep as it happens: the server says that something changed, and what is shown of it is asked for again. */
import { type Query, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import { type Fresh, fresh } from "../lib/fresh.ts";
import { ask, setReachable } from "./reachable.ts";

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
  // What is due stays so while the stream is opened anew: the new one tells nothing of what the page has read in part.
  const table = useRef<Fresh>(null);
  useEffect(() => {
    const isTable = ({ queryKey }: Query): boolean => (queryKey[0] === "runs" && JSON.stringify(queryKey).includes(id)) || (queryKey[0] === "sweep" && queryKey[1] === id && queryKey.length === 2);
    const isFigure = ({ queryKey }: Query): boolean => queryKey[0] === "sweep" && queryKey[1] === id && queryKey.length > 2;
    const again = (predicate: (query: Query) => boolean) => async (): Promise<void> => {
      // What is on its way may be from before the change. Asking again would do, but not for a first answer, which would be taken as it comes.
      await client.cancelQueries({ predicate });
      await client.invalidateQueries({ predicate });
    };
    // The table first, and more often: the server computes the figures of ten thousand trials for longer than it looks the rows up.
    const figures = fresh(again(isFigure));
    const rows = fresh(again(isTable), figures.changed);
    table.current = rows;
    return () => {
      rows.stop();
      figures.stop();
    };
  }, [id, client]);
  useEffect(() => {
    if (!known || !seen) return;
    let reopening: ReturnType<typeof setTimeout> | undefined;
    const source = new EventSource(`/api/v1/sweeps/${encodeURIComponent(id)}/events?since=${since}`);
    let first = true;
    source.addEventListener("changes", (event) => {
      const { revision } = JSON.parse((event as MessageEvent<string>).data) as { revision: number };
      if (first && revision === since) {
        first = false; // the greeting: it says what the page has just read
        return;
      }
      first = false;
      table.current?.changed();
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
      clearTimeout(reopening);
      source.close();
      setOpen(false);
    };
    // The stream goes on from its own last event; a newer `since` is no reason to begin another one.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [id, known, seen, attempt]);
  return open;
}
