/** The rows of a run table of any length: those in sight are here, those that are pinned first. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { startTransition, useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { RunLine } from "../api/client.ts";
import * as ask from "../api/queries.ts";
import { MOST_CHOSEN } from "../lib/chosen.ts";
import { type Part, partOf, within } from "../lib/sight.ts";

/** While the scroll bar is dragged only so often is asked for what is passed. */
const SOON_MS = 100;
/** What is in sight is told in such steps. */
const STEP = 25;
const NONE: RunLine[] = [];

export function useParts(table: ask.Table, enabled: boolean, live: boolean) {
  const client = useQueryClient();
  const [sight, setSight] = useSight();
  const options = { enabled, refetchInterval: live ? ask.LIVE_MS : (false as const) };
  const num = useRef(0); // of those that are pinned, as far as it is known
  const mine = useMemo(() => ({ ...table, pinned: true }), [table]);
  const pins = useQuery({ ...ask.runs(mine, partOf(sight.first < num.current ? sight.first : 0, Math.min(sight.last, num.current))), ...options });
  num.current = pins.data?.total ?? 0;
  // Where none is pinned the question is as simple as it was written.
  const others = useMemo(() => (num.current ? { ...table, pinned: false } : table), [table, num.current]); // eslint-disable-line react-hooks/exhaustive-deps
  const query = useQuery({ ...ask.runs(others, partOf(Math.max(0, sight.first - num.current), Math.max(0, sight.last - num.current))), ...options });
  // They stand first as soon as they are no longer among the others; those of another table don't.
  const isOld = pins.data?.of !== ask.nameOf(mine) && query.data?.of === ask.nameOf(others);
  const before = query.data?.isRest && !isOld ? pins.data : undefined;
  const numBefore = before?.total ?? 0;
  const row = useCallback((place: number): RunLine | undefined => (place < numBefore ? before?.runs[place - before.from] : query.data?.runs[place - numBefore - query.data.from]), [before, numBefore, query.data]);
  const here = useMemo(() => [...(before?.runs ?? NONE), ...(query.data?.runs ?? NONE)], [before, query.data]);
  const total = numBefore + (query.data?.total ?? 0);
  /** The ids of the runs from one place to another; those that are not here are asked for. */
  const idsOf = async (first: number, last: number): Promise<string[]> => {
    const rows = Array.from({ length: last - first + 1 }, (_, i) => row(first + i)?.id);
    if (rows.every((id) => id !== undefined)) return rows;
    const stretch: Part = { from: first, limit: Math.min(MOST_CHOSEN, last - first + 1) };
    const parts = [[mine, within(stretch, 0, numBefore)], [others, within(stretch, numBefore, total - numBefore)]] as const;
    const pages = await Promise.all(parts.map(([of, part]) => (part ? client.fetchQuery(ask.runs({ ...of, columns: [] }, part)) : { runs: NONE })));
    return pages.flatMap((page) => page.runs.map((run) => run.id));
  };
  return { query, row, here, total, idsOf, onSight: setSight };
}

interface Sight {
  first: number;
  last: number;
}

/** What is in sight: at once, while it moves quickly every so often, and where it comes to rest. */
function useSight(): [Sight, (first: number, last: number) => void] {
  const [sight, setSight] = useState<Sight>({ first: 0, last: 0 });
  const waiting = useRef<{ timer: ReturnType<typeof setTimeout>; next: Sight | null } | null>(null);
  useEffect(
    () => () => {
      clearTimeout(waiting.current?.timer);
      waiting.current = null;
    },
    [],
  );
  const tell = useCallback((first: number, last: number) => {
    const next = { first: Math.floor(first / STEP) * STEP, last: Math.ceil((last + 1) / STEP) * STEP };
    // What is asked for is of no hurry: no frame waits for it.
    const put = (one: Sight): void => startTransition(() => setSight((old) => (old.first === one.first && old.last === one.last ? old : one)));
    if (waiting.current) {
      waiting.current.next = next;
      return;
    }
    const later = (): void => {
      const told = waiting.current?.next;
      waiting.current = told ? { timer: setTimeout(later, SOON_MS), next: null } : null;
      if (told) put(told);
    };
    waiting.current = { timer: setTimeout(later, SOON_MS), next: null };
    put(next);
  }, []);
  return [sight, tell];
}

/** What is known of a table's rows, by those that were here so far: columns don't come and go with what is in sight. */
export function useTraits(of: string, rows: readonly RunLine[], cells: readonly string[], isText: (value: unknown) => boolean): { texts: ReadonlySet<string>; hasResults: boolean; hasReasons: boolean } {
  const kept = useRef({ of, texts: new Set<string>(), hasResults: false, hasReasons: false });
  return useMemo(() => {
    const old = kept.current.of === of ? kept.current : { of, texts: new Set<string>(), hasResults: false, hasReasons: false };
    const texts = cells.filter((name) => !old.texts.has(name) && rows.some((run) => isText(run.cells[name])));
    const hasResults = old.hasResults || rows.some((run) => run.values !== null);
    const hasReasons = old.hasReasons || rows.some((run) => run.reason !== "");
    if (old !== kept.current || texts.length || hasResults !== old.hasResults || hasReasons !== old.hasReasons) kept.current = { of, texts: new Set([...old.texts, ...texts]), hasResults, hasReasons };
    return kept.current;
  }, [of, rows, cells, isText]);
}
