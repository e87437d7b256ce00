/** The results by number, with the best so far; those stopped early and the failed ones are marked. */
import { useMemo, useRef, useState } from "react";
import type uPlot from "uplot";
import type { Schemas } from "../api/client.ts";
import { num, short } from "../lib/format.ts";
import { range } from "../lib/curves.ts";
import { axis, type Colours, Plot, room, values } from "./Plot.tsx";

/** Of those stopped early (number, value at the end); the numbers of the failed. */
interface Marks {
  stopped: readonly (readonly number[])[];
  failed: readonly number[];
}

interface Props {
  milestones: readonly Schemas["Milestone"][];
  /** Those that are no milestones: failed, or stopped early. */
  marks: Marks | undefined;
  /** How many there are in all. */
  counts: { stopped: number; failed: number } | undefined;
  metric: string;
  maximize: boolean;
  /** undefined: as the values want it. */
  log: boolean | undefined;
  onPick?: (number: number) => void;
}

export function History({ milestones, marks: others, counts, metric, maximize, log, onPick }: Props) {
  const [hover, setHover] = useState<string>("");
  const shown = useMemo(() => {
    const { stopped, failed } = others ?? NO_MARKS;
    const at = new Map<number, [number | null, number | null, number | null, number | null]>();
    const place = (number: number) => at.get(number) ?? (at.set(number, [null, null, null, null]), at.get(number) as [number | null, number | null, number | null, number | null]);
    const all: number[] = [];
    const early: number[] = [];
    for (const one of milestones) {
      const value = num(one.value);
      if (value === null || !Number.isFinite(value)) continue;
      const row = place(one.number);
      row[0] = value;
      row[1] = num(one.best);
      all.push(value);
    }
    for (const [number, value] of stopped as readonly (readonly [number, number])[]) {
      const row = place(number);
      row[0] = null;
      row[2] = value;
      early.push(value);
    }
    // What was stopped early is mostly far off: the scale is that of whole results, and the others lie at its edge.
    const span = range(all.length > 2 ? all : [...all, ...early], maximize);
    const isLog = (log ?? span.log) && span.low > 0;
    const clip = (value: number | null) => (value === null ? null : Math.min(span.high, Math.max(span.low, value)));
    const real = new Map([...at].map(([number, row]) => [number, [...row] as const]));
    for (const number of failed) place(number)[3] = maximize ? span.low : span.high;
    const x = [...at.keys()].sort((a, b) => a - b);
    const columns = [0, 1, 2, 3].map((i) => x.map((number) => clip((at.get(number) as (number | null)[])[i] ?? null)));
    let best: number | null = null;
    columns[1] = (columns[1] as (number | null)[]).map((value) => (best = value ?? best));
    return { x, columns, real, span, isLog, numStopped: stopped.length, numFailed: failed.length, last: milestones.at(-1) };
  }, [milestones, others, maximize, log]);

  const latest = useRef(shown); // the chart outlives what it shows
  latest.current = shown;
  const data = useMemo(() => [shown.x, ...shown.columns] as uPlot.AlignedData, [shown]);
  const pad = (shown.span.high - shown.span.low || Math.abs(shown.span.high) || 1) * 0.06;
  const low = shown.isLog ? shown.span.low * 0.85 : shown.span.low - pad;
  const high = shown.isLog ? shown.span.high * 1.15 : shown.span.high + pad;
  const options = (c: Colours): Omit<uPlot.Options, "width" | "height"> => ({
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: { x: { time: false, range: (_, a, b) => (a === b ? [a - 1, b + 1] : [a - (b - a) * 0.015, b + (b - a) * 0.015]) }, y: { distr: shown.isLog ? 3 : 1, range: [low, high] } },
    axes: [axis(c, { values, label: "trial", grid: { show: false }, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000] }), axis(c, { values, size: room })],
    series: [
      {},
      { label: "result", paths: () => null, points: { show: true, size: 5, width: 0, fill: `${c.ink3}aa`, stroke: c.ink3 } },
      { label: "best so far", stroke: c.accent, width: 2, points: { show: false }, paths: steps },
      { label: "stopped early", paths: () => null, points: { show: marks(triangle, c.warn) } },
      { label: "failed", paths: () => null, points: { show: marks(cross, c.bad) } },
    ],
    hooks: {
      setCursor: [
        (plot) => {
          const i = plot.cursor.idx;
          const number = i == null ? undefined : plot.data[0][i];
          if (i == null || number === undefined) return setHover("");
          const [value, , stopped] = latest.current.real.get(number) ?? [];
          const [best, failed] = [2, 4].map((s) => plot.data[s]?.[i] ?? null);
          const what = failed != null ? "failed" : stopped != null ? `stopped early at ${short(stopped)}` : value != null ? short(value) : "";
          return setHover(`trial ${number}: ${what}${best != null ? ` · best so far ${short(best)}` : ""}`);
        },
      ],
      ready: [
        (plot) => {
          plot.over.addEventListener("click", () => {
            const i = plot.cursor.idx;
            const number = i == null ? undefined : plot.data[0][i];
            if (number !== undefined) onPick?.(number);
          });
        },
      ],
    },
  });
  const label = shown.last ? `${metric} of ${milestones.length} trials; the best is ${short(num(shown.last.best) ?? NaN)}` : `${metric}: no results yet`;
  return (
    <figure className="chart">
      <Plot data={data} options={options} shape={`${shown.isLog} ${low} ${high}`} height={260} label={label} />
      <figcaption>
        <span className="key key-dot">result</span>
        <span className="key key-line">best so far</span>
        {shown.numStopped ? <span className="key key-triangle">stopped early ({marked(shown.numStopped, counts?.stopped)})</span> : null}
        {shown.numFailed ? <span className="key key-cross">failed ({marked(shown.numFailed, counts?.failed)})</span> : null}
        <span className="chart-hover num">{hover}</span>
      </figcaption>
    </figure>
  );
}

const NO_MARKS: Marks = { stopped: [], failed: [] };

/** How many there are, and where some have no value to be marked at, how many have. */
const marked = (shown: number, all: number = shown): string => (all > shown ? `${all.toLocaleString("en")}, ${shown.toLocaleString("en")} with a value` : all.toLocaleString("en"));

function steps(plot: uPlot, series: number, from: number, to: number): uPlot.Series.Paths {
  const stroke = new Path2D();
  const [xs, ys] = [plot.data[0], plot.data[series] as (number | null)[]];
  let last: number | null = null;
  for (let i = from; i <= to; i += 1) {
    const y = ys[i];
    if (y == null) continue;
    const [px, py] = [plot.valToPos(xs[i] as number, "x", true), plot.valToPos(y, "y", true)];
    if (last === null) stroke.moveTo(px, py);
    else {
      stroke.lineTo(px, last);
      stroke.lineTo(px, py);
    }
    last = py;
  }
  return { stroke };
}

type Mark = (context: CanvasRenderingContext2D, x: number, y: number, size: number) => void;
const triangle: Mark = (context, x, y, s) => {
  context.moveTo(x, y - s);
  context.lineTo(x + s, y + s * 0.8);
  context.lineTo(x - s, y + s * 0.8);
  context.closePath();
};
const cross: Mark = (context, x, y, s) => {
  context.moveTo(x - s * 0.8, y - s * 0.8);
  context.lineTo(x + s * 0.8, y + s * 0.8);
  context.moveTo(x + s * 0.8, y - s * 0.8);
  context.lineTo(x - s * 0.8, y + s * 0.8);
};

function marks(draw: Mark, colour: string) {
  return (plot: uPlot, series: number): boolean => {
    const { ctx } = plot;
    const size = 4 * devicePixelRatio;
    ctx.save();
    ctx.beginPath();
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.5 * devicePixelRatio;
    (plot.data[series] as (number | null)[]).forEach((y, i) => {
      if (y != null) draw(ctx, plot.valToPos(plot.data[0][i] as number, "x", true), plot.valToPos(y, "y", true), size);
    });
    ctx.stroke();
    ctx.restore();
    return false;
  };
}
