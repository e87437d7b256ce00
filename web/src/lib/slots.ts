/** Which of the elements that are there draws which row: one whose row left draws one that came, so that few are made and thrown away. */
export function slots(keys: readonly string[], old: ReadonlyMap<string, number>): Map<string, number> {
  const now = new Map<string, number>();
  for (const key of keys) {
    const kept = old.get(key);
    if (kept !== undefined) now.set(key, kept);
  }
  const taken = new Set(now.values());
  let free = 0;
  for (const key of keys) {
    if (now.has(key)) continue;
    while (taken.has(free)) free += 1;
    taken.add(free);
    now.set(key, free);
  }
  return now;
}
