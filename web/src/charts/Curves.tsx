/** Curves over steps or time: as logged in faint, smoothed on top. */
import { useMemo, useRef, useState } from "react";
import type uPlot from "uplot";
import { align, since, smooth } from "../lib/curves.ts";
import { dashOf, near } from "../lib/compare.ts";
import { num, short, span } from "../lib/format.ts";
import { axis, type Colours, Plot, room, values } from "./Plot.tsx";

export interface Line {
  name: string;
  x: readonly number[];
  y: readonly unknown[];
  /** Over time: when what it is of began. */
  start?: number | undefined;
  /** Which colour and strokes it has; without it those of its place. */
  place?: number;
}

interface Props {
  title: string;
  lines: readonly Line[];
  x: "step" | "time";
  /** 0 is none, towards 1 is more. */
  smoothing: number;
  log: boolean;
  height?: number;
  /** What a step is called. */
  over?: string;
  /** The line that stands out, by its place among `lines`. */
  focus?: number | null;
  /** The line that the pointer is nearest to. */
  onNear?: (line: number | null) => void;
}

const FEW = 4;

export function Curves({ title, lines, x, smoothing, log, height = 200, over = "step", focus = null, onNear }: Props) {
  const [hover, setHover] = useState("");
  const { data, positive, gone } = useMemo(() => {
    const times = x === "time" ? since(lines) : [];
    const read = lines.map((line, i) => ({
      x: times[i] ?? line.x,
      y: line.y.map((value) => {
        const y = num(value);
        return y !== null && Number.isFinite(y) ? y : null;
      }),
    }));
    const gone = lines.reduce((sum, line, i) => sum + line.y.filter((value, j) => value !== null && read[i]?.y[j] === null).length, 0);
    const positive = read.some((line) => line.y.some((y) => y !== null && y > 0));
    const drawn = log && positive ? read.map((line) => ({ ...line, y: line.y.map((y) => (y !== null && y > 0 ? y : null)) })) : read;
    const both = smoothing > 0 ? [...drawn, ...drawn.map((line) => ({ ...line, y: smooth(line.y, smoothing) }))] : drawn;
    const { x: xs, ys } = align(both);
    return { data: [xs, ...ys] as uPlot.AlignedData, positive, gone };
  }, [lines, x, smoothing, log]);

  const isLog = log && positive;
  const isOne = (data[0]?.length ?? 0) === 1;
  const latest = useRef({ lines, onNear }); // the chart outlives what it shows
  latest.current = { lines, onNear };
  const options = (c: Colours): Omit<uPlot.Options, "width" | "height"> => {
    const colour = (i: number): string => c.series[(lines[i]?.place ?? i) % c.series.length] as string;
    const dash = (i: number): number[] => dashOf(lines[i]?.place ?? i);
    const raw = lines.map((line, i): uPlot.Series => ({ label: line.name, dash: dash(i), stroke: smoothing > 0 ? `${colour(i)}55` : colour(i), width: smoothing > 0 ? 1 : 1.5, spanGaps: true, points: { show: isOne || line.x.length === 1 } }));
    const smoothed = smoothing > 0 ? lines.map((line, i): uPlot.Series => ({ label: line.name, dash: dash(i), stroke: colour(i), width: 2, spanGaps: true, points: { show: isOne || line.x.length === 1 } })) : [];
    return {
      legend: { show: false },
      focus: { alpha: 0.18 },
      cursor: { y: false, points: { size: 6, show: lines.length <= FEW }, drag: { x: true, y: false }, sync: { key: "curves" } },
      scales: { x: { time: false, ...(isOne ? { range: (_, a) => [a - 1, a + 1] as [number, number] } : {}) }, y: { distr: isLog ? 3 : 1 } },
      axes: [axis(c, { grid: { show: false }, values: x === "time" ? (_, splits) => splits.map((s) => span(s)) : values }), axis(c, { values, size: room })],
      series: [{}, ...raw, ...smoothed],
      hooks: {
        setCursor: [
          (plot) => {
            const i = plot.cursor.idx;
            const at = i == null ? undefined : plot.data[0][i];
            const { lines: shown, onNear: tell } = latest.current;
            if (i == null || at === undefined) {
              tell?.(null);
              return setHover("");
            }
            const there = shown.flatMap((line, n) => {
              const y = near(plot.data[n + 1] as (number | null | undefined)[], i);
              return y === undefined ? [] : [{ n, y, name: line.name }];
            });
            const place = `${x === "time" ? span(at) : `${over} ${short(at)}`}`;
            const top = plot.cursor.top ?? -1;
            if (shown.length <= FEW || top < 0 || !plot.cursor.event) return setHover(`${place}: ${there.length > FEW ? "" : there.map(({ name, y }) => (shown.length > 1 ? `${name} ${short(y)}` : short(y))).join(" · ")}`);
            const far = ({ y }: { y: number }): number => Math.abs(plot.valToPos(y, "y") - top);
            const nearest = there.length ? there.reduce((one, other) => (far(other) < far(one) ? other : one)) : null;
            tell?.(nearest?.n ?? null);
            return setHover(nearest ? `${nearest.name} · ${place}: ${short(nearest.y)}` : place);
          },
        ],
      },
    };
  };
  const last = lines[0]?.y.findLast((value) => value !== null);
  return (
    <figure className="chart">
      <figcaption>
        <span className="chart-title" title={title}>
          {title}
        </span>
        <span className="chart-hover num">{hover || (lines.length === 1 && num(last) !== null ? short(num(last) as number) : "")}</span>
      </figcaption>
      <Plot data={data} options={options} focus={focus === null ? null : focus + 1 + (smoothing > 0 ? lines.length : 0)} shape={`${lines.map((line) => `${line.name} ${line.place ?? ""}`).join("\n")} ${x} ${over} ${smoothing > 0} ${isLog} ${isOne}`} height={height} label={`${title}: ${lines.length === 1 ? `last ${short(num(last) ?? NaN)}` : `${lines.length} curves`}`} />
      {gone ? <div className="note">{gone} values are NaN or infinite and not drawn.</div> : null}
    </figure>
  );
}
