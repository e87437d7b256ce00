/** What comparison pages do with what the server says. */

/** So many runs stand side by side at most: beyond it neither lines nor columns can be told apart. */
export const MOST_BESIDE = 20;

/** How the strokes of a line are interrupted: eight colours, then the same with dashes, then with dots. */
export const dashOf = (place: number): number[] => DASHES[Math.floor(place / 8) % DASHES.length] as number[];
const DASHES = [[], [8, 4], [2, 3]];

/** Rows that differ first; or only those. */
export function differingFirst<Row extends { differs: boolean }>(rows: readonly Row[], only: boolean): Row[] {
  const [differing, same] = [rows.filter((row) => row.differs), rows.filter((row) => !row.differs)];
  return only ? differing : [...differing, ...same];
}

/** Whether a metric of this name counts epochs. */
export const countsEpochs = (name: string): boolean => /(?:^|[/._])epochs?$/i.test(name);

interface Line {
  x: readonly number[];
  y: readonly unknown[];
}

/**
 * A line over epochs rather than steps: each step at the epoch that the run was in, between two known ones in proportion. What lies before
 * the first known epoch or beyond the last has that one; without any there is no line.
 */
export function overEpochs(line: Line, epochs: Line | undefined): { x: number[]; y: unknown[] } {
  const known = (epochs?.x ?? []).flatMap((step, i) => {
    const epoch = epochs?.y[i];
    return typeof epoch === "number" && Number.isFinite(epoch) ? [{ step, epoch }] : [];
  });
  const [first, last] = [known[0], known.at(-1)];
  if (!first || !last) return { x: [], y: [] };
  let at = 0;
  const x = line.x.map((step) => {
    while (at < known.length && (known[at] as { step: number }).step < step) at += 1;
    const [before, after] = [known[at - 1] ?? first, known[at] ?? last];
    if (after.step <= before.step) return after.epoch;
    return before.epoch + ((after.epoch - before.epoch) * (step - before.step)) / (after.step - before.step);
  });
  // Several steps of an epoch may lie at one place: the last of them stands there.
  const places = new Map<number, unknown>();
  x.forEach((place, i) => places.set(place, line.y[i]));
  const sorted = [...places].sort(([a], [b]) => a - b);
  return { x: sorted.map(([place]) => place), y: sorted.map(([, value]) => value) };
}

/** The value of a column at a place, or the nearest between whose neighbours it lies; undefined: none, as beyond the column's ends. */
export function near<T>(column: readonly (T | null | undefined)[], place: number, most = 100): T | undefined {
  const next = (way: 1 | -1): number => {
    let at = place;
    while (at >= 0 && at < column.length && (column[at] === null || column[at] === undefined)) at += way;
    return at;
  };
  const [before, after] = [next(-1), next(1)];
  if (before < 0 || after >= column.length || Math.min(place - before, after - place) > most) return undefined;
  return column[place - before <= after - place ? before : after] ?? undefined;
}

/** How far each value of a curve is from the best that is known; never below nothing. */
export function regret(curve: readonly (readonly [number, number])[], best: number, maximize: boolean): [number, number][] {
  return curve.map(([place, value]) => [place, Math.max(0, maximize ? best - value : value - best)]);
}

/** A filter for the runs of a group. */
export function sameAs(expression: string, value: unknown): string {
  if (expression === "tags") return value === null ? "" : `${JSON.stringify(value)} in tags`;
  if (value === null) return `${expression} == None`;
  return `${expression} == ${JSON.stringify(value)}`;
}

/** What a line of steps has at these places: the value of the last step before, nothing before the first, and nothing beyond the end. */
export function filled(curve: readonly (readonly [number, number])[], places: readonly number[], end: number): (number | null)[] {
  let at = -1;
  return places.map((place) => {
    while (at + 1 < curve.length && (curve[at + 1] as readonly [number, number])[0] <= place) at += 1;
    return at < 0 || place > end ? null : (curve[at] as readonly [number, number])[1];
  });
}

/** A line of sweeps that are compared: one sweep's, or that of a team, which is drawn with a band. */
export interface Drawn<Team> {
  id: string;
  name: string;
  /** Which colour and strokes it has. */
  place: number;
  /** Whose results it stands for. */
  sweeps: readonly string[];
  team: Team | null;
}

/** Sweeps and teams as they are drawn: a team is one line in the place of its first sweep, and its sweeps are thin lines in its colour. */
export function drawnOf<Team extends { name: string; sweeps: readonly string[] }>(contest: { sweeps: readonly { sweep: string; name: string }[]; teams: readonly Team[] }): Drawn<Team>[] {
  const found: Omit<Drawn<Team>, "place">[] = [];
  for (const { sweep, name } of contest.sweeps) {
    if (found.some((one) => one.sweeps.includes(sweep))) continue;
    const team = contest.teams.find((one) => one.sweeps.includes(sweep));
    found.push(team ? { id: `team ${team.name}`, name: `${team.name} (${team.sweeps.length} sweeps)`, sweeps: team.sweeps, team } : { id: sweep, name, sweeps: [sweep], team: null });
  }
  return found.map((one, place) => ({ ...one, place }));
}
