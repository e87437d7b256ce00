/** Each tag with how many of the runs have it: those that most have first, of equals by name. */
export function tally(runs: readonly (readonly string[])[]): [string, number][] {
  const found = new Map<string, number>();
  for (const tags of runs) for (const tag of new Set(tags)) found.set(tag, (found.get(tag) ?? 0) + 1);
  return [...found].sort(([a, one], [b, other]) => other - one || (a < b ? -1 : 1));
}
