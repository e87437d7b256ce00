/** What parallel coordinates show, made ready to be drawn: positions by axis, the better lines last. */
import type { Schemas } from "../api/client.ts";
import { type Brush, columnsOf, holds, isPlain, type Named } from "./brush.ts";
import { range as worthShowing } from "./curves.ts";
import { num, plain, short } from "./format.ts";
import { standing } from "./ramp.ts";
import { place, type Scale, ticks } from "./scale.ts";

export interface Axis extends Named {
  scale: Scale | null;
  options: readonly unknown[];
  isMetric: boolean;
  /** All values are whole numbers. */
  whole: boolean;
  /** It can be brushed: the filter language knows its values. */
  brushable: boolean;
  values: readonly unknown[];
  /** 0 below, 1 above, NaN without a value. */
  at: Float32Array;
  marks: { at: number; text: string }[];
}

export interface Ready {
  axes: Axis[];
  numbers: number[];
  /** 0 worst … 1 best, by the first metric; NaN: not to be told. */
  standing: Float32Array;
  /** The lines, the worst first. */
  order: Uint32Array;
}

/** Make ready what the server sent. */
export function ready(data: Schemas["Parallel"], maximize: readonly boolean[]): Ready {
  let metrics = 0;
  const numbers = data.lines.map((line) => line.number);
  const axes = data.axes.map((axis, i): Axis => {
    const values = data.lines.map((line) => line.values[i]);
    const base = { name: axis.name, values, isMetric: axis.is_metric, options: axis.options };
    if (axis.kind === "options") {
      const last = axis.options.length - 1;
      const marks = axis.options.map((option, k) => ({ at: last ? k / last : 0.5, text: plain(option) || "none" }));
      return { ...base, columns: columnsOf(axis.name, null), scale: null, whole: false, brushable: axis.options.every(isPlain), marks, at: Float32Array.from(data.lines, (line) => line.positions[i] ?? NaN) };
    }
    const read = values.map((value) => num(value) ?? NaN);
    if (axis.is_metric) {
      const nth = metrics;
      metrics += 1;
      const shown = worthShowing(read, maximize[nth] ?? false);
      const scale = shown.low < shown.high ? { low: shown.low, high: shown.high, log: shown.log } : { low: shown.low - (Math.abs(shown.low) / 2 || 0.5), high: shown.high + (Math.abs(shown.high) / 2 || 0.5), log: false };
      const at = Float32Array.from(read, (value) => Math.min(1, Math.max(0, place(scale, value)))); // what is far off lies at the edge
      return { ...base, columns: columnsOf(axis.name, nth ? "other" : "first"), scale, whole: false, brushable: true, at, marks: marksOf(scale) };
    }
    const scale = { low: num(axis.low) ?? 0, high: num(axis.high) ?? 1, log: axis.kind === "log" };
    const whole = read.every((value) => !Number.isFinite(value) || Number.isInteger(value)) && Number.isInteger(scale.low) && Number.isInteger(scale.high);
    return { ...base, columns: columnsOf(axis.name, null), scale, whole, brushable: scale.low < scale.high, marks: marksOf(scale, whole), at: Float32Array.from(data.lines, (line) => line.positions[i] ?? NaN) };
  });
  const first = axes.find((axis) => axis.isMetric);
  const ranks = standing((first?.values ?? []).map((value) => num(value) ?? NaN), maximize[0] ?? false);
  const order = Uint32Array.from(numbers.keys()).sort((a, b) => rank(ranks[a]) - rank(ranks[b]));
  return { axes, numbers, standing: ranks, order };
}

const rank = (one: number | undefined): number => (one === undefined || Number.isNaN(one) ? -1 : one);

function marksOf(scale: Scale, whole = false): { at: number; text: string }[] {
  if (!(scale.low < scale.high)) return [{ at: 0.5, text: short(scale.low) }];
  const inner = ticks(scale, 5).filter((value) => !whole || Number.isInteger(value)).map((value) => ({ at: place(scale, value), text: short(value) }));
  const ends = [scale.low, scale.high].map((value) => ({ at: place(scale, value), text: short(value) }));
  return inner.length > 1 ? inner : ends;
}

/** The lines that lie in all brushes, the worst first. */
export function selected({ axes, order }: Ready, brushes: ReadonlyMap<string, Brush>): Uint32Array {
  const asked = axes.flatMap((axis) => {
    const brush = brushes.get(axis.name);
    return brush ? [{ values: axis.values, brush }] : [];
  });
  return asked.length ? order.filter((line) => asked.every(({ values, brush }) => holds(brush, values[line]))) : order;
}

/** The line that passes nearest to a point, no more than `most` pixels away: the axes on both sides, and how far between them the point is, are given. */
export function nearest(which: Uint32Array, left: Float32Array, right: Float32Array, share: number, y: number, most: number): number | null {
  let best: number | null = null;
  let least = most;
  for (const line of which) {
    const distance = Math.abs((left[line] as number) * (1 - share) + (right[line] as number) * share - y);
    if (distance <= least) [least, best] = [distance, line]; // of equals the better: it is on top
  }
  return best;
}

/** Names in the order that is asked for; what is not asked for is left out. */
export function arranged(axes: readonly Axis[], asked: readonly string[] | null): Axis[] {
  if (!asked) return [...axes];
  const found = asked.flatMap((name) => axes.find((axis) => axis.name === name) ?? []);
  return found.length > 1 ? found : [...axes];
}

/** The names with one moved to another place. */
export function moved(names: readonly string[], name: string, to: number): string[] {
  const others = names.filter((one) => one !== name);
  others.splice(Math.max(0, Math.min(others.length, to)), 0, name);
  return others;
}
