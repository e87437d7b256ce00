/** Which element draws which row: by the row's name, or by its index while it is not here yet. */
export type Slots = ReadonlyMap<string | number, number>;

/**
 * The element of each row: the one that it had, or that held its place until it came. Where elements are reused (`isReused`: while it is scrolled), one whose
 * row left draws one that came into sight, so that few are made and thrown away; else that has a new one, and the others stay where they are in the document.
 */
export function slots(rows: readonly { name: string | null; index: number }[], old: Slots, isReused: boolean): Slots {
  const now = new Map<string | number, number>();
  for (const { name, index } of rows) {
    const kept = (name === null ? undefined : old.get(name)) ?? old.get(index);
    if (kept !== undefined) now.set(name ?? index, kept);
  }
  const taken = new Set((isReused ? now : old).values());
  let free = 0;
  for (const { name, index } of rows) {
    if (now.has(name ?? index)) continue;
    while (taken.has(free)) free += 1;
    taken.add(free);
    now.set(name ?? index, free);
  }
  return now;
}
