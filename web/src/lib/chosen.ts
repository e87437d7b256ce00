/** Which rows of a table are chosen. They are named in the address, so there is an end to how many. */

export const MOST_CHOSEN = 1000;

/** The names with some added or taken away, in the order in which they were chosen; those beyond the most are left out. */
export function choose(chosen: readonly string[], names: readonly string[], on: boolean): string[] {
  if (on) return [...new Set([...chosen, ...names])].slice(0, MOST_CHOSEN);
  const gone = new Set(names);
  return chosen.filter((one) => !gone.has(one));
}
