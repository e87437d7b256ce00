/** How a value came about, in one small line: what is better lies lower where it is minimized, as in a chart of it. */
import { num, short } from "../lib/format.ts";
import { sparkPath } from "../lib/spark.ts";
import { NOTHING } from "./Value.tsx";

const [WIDTH, HEIGHT] = [80, 20];

/** `points` are (number of a trial, value), each time the value `of` something became better. */
export function Spark({ points, of, trials }: { points: readonly (readonly unknown[])[]; of: string; trials: number }) {
  const read = points.map(([place, value]) => [num(place) ?? 0, num(value) ?? NaN] as const).filter(([, value]) => Number.isFinite(value));
  if (!read.length) return NOTHING;
  const [first, last] = [read[0]?.[1] as number, read.at(-1)?.[1] as number];
  const said = `${of}: ${came(first, last)}`;
  return (
    <svg className="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} width={WIDTH} height={HEIGHT} role="img" aria-label={said}>
      <title>{said}</title>
      <path d={sparkPath(read, trials, WIDTH, HEIGHT)} />
    </svg>
  );
}

const came = (first: number, last: number): string => (first === last ? `${short(last)} since the first result` : `from ${short(first)} ${last > first ? "up" : "down"} to ${short(last)}`);
