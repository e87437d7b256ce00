/**
 * Which element draws which row. A row keeps the one that it had. Where elements are reused (`isReused`: while it is scrolled), one whose row left draws one
 * that came, so that few are made and thrown away; else a row that came has a new one, and the others stay where they are in the document.
 */
export function slots(keys: readonly string[], old: ReadonlyMap<string, number>, isReused: boolean): Map<string, number> {
  const now = new Map<string, number>();
  for (const key of keys) {
    const kept = old.get(key);
    if (kept !== undefined) now.set(key, kept);
  }
  const taken = new Set((isReused ? now : old).values());
  let free = 0;
  for (const key of keys) {
    if (now.has(key)) continue;
    while (taken.has(free)) free += 1;
    taken.add(free);
    now.set(key, free);
  }
  return now;
}
