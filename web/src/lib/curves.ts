/** What is done to curves before they are drawn. */

/** An exponential moving average without the pull of its beginning; `weight` 0 is none. Gaps and NaN stay as they are. */
export function smooth(values: readonly (number | null)[], weight: number): (number | null)[] {
  if (weight <= 0) return [...values];
  let sum = 0;
  let mass = 0;
  return values.map((value) => {
    if (value === null || !Number.isFinite(value)) return value;
    sum = weight * sum + (1 - weight) * value;
    mass = weight * mass + (1 - weight);
    return sum / mass;
  });
}

/** The same curve over the time since its start; what does not say when it began, began with the first of all points. */
export function since<Curve extends { x: readonly number[]; start?: number | undefined }>(lines: readonly Curve[]): number[][] {
  const first = Math.min(...lines.map((line) => line.x[0] ?? Infinity));
  return lines.map((line) => line.x.map((at) => at - (line.start ?? first)));
}

/** Several curves on the union of their x: what uPlot draws. */
export function align(lines: readonly { x: readonly number[]; y: readonly (number | null)[] }[]): { x: number[]; ys: (number | null | undefined)[][] } {
  const first = lines[0];
  if (lines.length === 1 && first) return { x: [...first.x], ys: [[...first.y]] };
  const x = [...new Set(lines.flatMap((line) => line.x as number[]))].sort((a, b) => a - b);
  const at = new Map(x.map((value, i) => [value, i]));
  const ys = lines.map((line) => {
    const out = new Array<number | null | undefined>(x.length).fill(undefined);
    line.x.forEach((value, i) => {
      out[at.get(value) as number] = line.y[i] ?? null;
    });
    return out;
  });
  return { x, ys };
}

/** What part of the values is worth showing: the best always; of the worst, what lies far beyond the middle half is left out. */
export function range(values: readonly number[], maximize: boolean): { low: number; high: number; log: boolean } {
  const finite = values.filter(Number.isFinite);
  if (!finite.length) return { low: 0, high: 1, log: false };
  const loss = finite.map((value) => (maximize ? -value : value)).sort((a, b) => a - b);
  const n = loss.length;
  const q1 = loss[Math.floor(n / 4)] as number;
  const q3 = loss[Math.min(Math.floor((3 * n) / 4), n - 1)] as number;
  const bound = q3 + 4 * Math.max(q3 - q1, Math.abs(q3) * 1e-3, 1e-12);
  const worst = loss.findLast((value) => value <= bound) as number;
  const best = loss[0] as number;
  const [low, high] = maximize ? [-worst, -best] : [best, worst];
  return { low, high, log: low > 0 && !maximize && high / low > 300 };
}
