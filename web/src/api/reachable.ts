/** Whether the server answers: while it does not, the page shows what it has, and asks until it does. */
import { useSyncExternalStore } from "react";

let reachable = true;
let timer: ReturnType<typeof setTimeout> | undefined;
const told = new Set<() => void>();

export function setReachable(now: boolean): void {
  if (!now && timer === undefined) timer = setTimeout(ask, 1500);
  if (now === reachable) return;
  reachable = now;
  for (const tell of told) tell();
}

/** Ask the server whether it is there. */
export async function ask(): Promise<void> {
  clearTimeout(timer);
  timer = undefined;
  try {
    await fetch("/api/v1/session", { cache: "no-store" });
    setReachable(true);
  } catch {
    setReachable(false);
  }
}

/** Call `tell` whenever it changes, until the function that is returned is called. */
export function onReachable(tell: () => void): () => void {
  told.add(tell);
  return () => told.delete(tell);
}

export const isReachable = (): boolean => reachable;
export const useReachable = (): boolean => useSyncExternalStore(onReachable, isReachable);
