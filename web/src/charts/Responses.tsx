/** How the metric answers to each parameter, averaged over the others, with how sure that is. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import * as ask from "../api/queries.ts";
import { Loading } from "../components/Status.tsx";
import { plain, short } from "../lib/format.ts";
import { isLog, scaleOf } from "../lib/scale.ts";
import { type ChartProps, Refused } from "./Charts.tsx";
import { type Frame, type Side, Sketch } from "./Sketch.tsx";

interface Response {
  name: string;
  values: unknown[];
  mean: number[];
  spread: number[];
  /** How much of the variance it explains by itself. */
  share: number;
}

export function Responses({ sweep }: ChartProps) {
  const query = useQuery(ask.figure(sweep.id, "response"));
  if (query.isError && !query.data) return <Refused error={query.error} retry={() => void query.refetch()} />;
  if (!query.data) return <Loading what="the responses" />;
  const { responses, explained } = query.data.data as { responses: Response[]; explained: number };
  const low = Math.min(...responses.flatMap((one) => one.mean.map((mean, i) => mean - (one.spread[i] as number))));
  const high = Math.max(...responses.flatMap((one) => one.mean.map((mean, i) => mean + (one.spread[i] as number))));
  return (
    <>
      <p className="note">
        {query.data.metric} as a forest sees it, the most important parameter first, all on one scale. The band is one standard deviation of its trees: where it is wide, the trials tell little.
        {explained < 0.5 ? ` The forest explains only ${Math.round(explained * 100)} % of the results: don't trust this too far.` : ""}
      </p>
      <div className="small-charts">
        {responses.map((one) => (
          <One key={one.name} of={one} metric={query.data.metric} log={isLog(sweep.config, one.name)} y={[low, high]} />
        ))}
      </div>
    </>
  );
}

function One({ of, metric, log, y }: { of: Response; metric: string; log: boolean; y: [number, number] }) {
  const [hover, setHover] = useState<number | null>(null);
  const numbers = of.values.every((value) => typeof value === "number") ? (of.values as number[]) : null;
  const isLine = numbers !== null && numbers.length > 3;
  const x: Side = isLine ? { scale: scaleOf(numbers, log) } : { options: of.values.map((value) => plain(value) || "none") };
  const at = (i: number): number => (isLine ? (numbers[i] as number) : i);
  const best = hover ?? -1;
  const draw = ({ ctx, c, x: px, y: py }: Frame): void => {
    const [up, down] = [1, -1].map((sign) => of.mean.map((mean, i) => py(mean + sign * (of.spread[i] as number)))) as [number[], number[]];
    ctx.fillStyle = ctx.strokeStyle = c.accent;
    ctx.lineWidth = 2;
    if (isLine) {
      ctx.globalAlpha = 0.18;
      ctx.beginPath();
      up.forEach((top, i) => ctx.lineTo(px(at(i)), top));
      for (let i = down.length - 1; i >= 0; i -= 1) ctx.lineTo(px(at(i)), down[i] as number);
      ctx.fill();
      ctx.globalAlpha = 1;
      ctx.beginPath();
      of.mean.forEach((mean, i) => ctx.lineTo(px(at(i)), py(mean)));
      ctx.stroke();
    } else
      of.mean.forEach((_, i) => {
        ctx.globalAlpha = 0.45;
        ctx.beginPath();
        ctx.moveTo(px(i), up[i] as number);
        ctx.lineTo(px(i), down[i] as number);
        ctx.stroke();
        ctx.globalAlpha = 1;
      });
    of.mean.forEach((mean, i) => {
      if (isLine && i !== best) return;
      ctx.beginPath();
      ctx.arc(px(at(i)), py(mean), i === best ? 5 : 4, 0, 7);
      ctx.fill();
    });
  };
  const told = (i: number): string => `${plain(of.values[i]) || "none"}: ${short(of.mean[i] as number)} ± ${short(of.spread[i] as number)}`;
  return (
    <figure className="chart">
      <figcaption>
        <span className="chart-title" title={of.name}>
          {of.name}
        </span>
        <span className="chart-hover num">{hover === null ? `${Math.round(of.share * 100)} % of the variance` : told(hover)}</span>
      </figcaption>
      <Sketch
        x={x}
        y={{ scale: scaleOf(y) }}
        height={190}
        label={`${metric} along ${of.name}: ${of.values.map((_, i) => i).filter((i) => !(i % Math.ceil(of.values.length / 6))).map(told).join("; ")}`}
        draw={draw}
        onMove={(here) => setHover(here && nearestOf(of.mean.map((_, i) => Math.abs(here.frame.x(at(i)) - here.px))))}
      />
    </figure>
  );
}

function nearestOf(distances: readonly number[]): number | null {
  const least = Math.min(...distances);
  return distances.length ? distances.indexOf(least) : null;
}
