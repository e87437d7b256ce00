/** When each trial ran: one below the other those that ran at the same time. */
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import * as ask from "../api/queries.ts";
import { Loading } from "../components/Status.tsx";
import { count, span } from "../lib/format.ts";
import { scaleOf } from "../lib/scale.ts";
import { type ChartProps, Refused } from "./Charts.tsx";
import type { Colours } from "./Plot.tsx";
import { type Frame, Sketch } from "./Sketch.tsx";

interface Stay {
  number: number;
  lane: number;
  from_s: number;
  to_s: number;
  phase: string;
  stopped: boolean;
}

const kindOf = (one: Stay): "failed" | "stopped" | "running" | "finished" => (one.phase === "failed" ? "failed" : one.phase === "running" ? "running" : one.stopped ? "stopped" : "finished");
const colourOf = (c: Colours, one: Stay): string => ({ failed: c.bad, stopped: c.warn, running: c.accent, finished: c.ink3 })[kindOf(one)];

export function Timeline({ sweep, onPick }: ChartProps) {
  const query = useQuery(ask.figure(sweep.id, "timeline"));
  const [hover, setHover] = useState<number | null>(null);
  const data = query.data?.data as unknown as { start: number; trials: Stay[]; busy: number } | undefined;
  const trials = data?.trials ?? [];
  const lanes = useMemo(() => 1 + Math.max(0, ...trials.map((one) => one.lane)), [trials]);
  const x = useMemo(() => scaleOf([0, ...trials.map((one) => one.to_s)]), [trials]);
  if (query.isError && !query.data) return <Refused error={query.error} retry={() => void query.refetch()} />;
  if (!data) return <Loading what="the timeline" />;
  const height = Math.min(560, 62 + lanes * Math.max(4, Math.min(28, 300 / lanes)));
  const thick = (bottom: number, top: number): number => (bottom - top) / lanes;
  const draw = ({ ctx, c, top, bottom, x: px }: Frame): void => {
    const high = thick(bottom, top);
    for (const one of trials) {
      const [x0, x1] = [px(one.from_s), px(one.to_s)];
      const y0 = top + one.lane * high + (high > 6 ? 1.5 : 0.25);
      const h = high - (high > 6 ? 3 : 0.5);
      ctx.fillStyle = colourOf(c, one);
      ctx.globalAlpha = one.number === hover ? 1 : 0.62;
      ctx.fillRect(x0, y0, Math.max(1, x1 - x0 - (x1 - x0 > 3 ? 1 : 0)), h);
      if (kindOf(one) === "failed" && h > 6 && x1 - x0 > 6) {
        ctx.globalAlpha = 1; // not by colour alone
        ctx.strokeStyle = c.ground;
        ctx.beginPath();
        ctx.moveTo(x0 + 1, y0 + h);
        ctx.lineTo(x1 - 2, y0);
        ctx.stroke();
      }
    }
    ctx.globalAlpha = 1;
  };
  const kinds = (["finished", "running", "stopped", "failed"] as const).map((kind) => [kind, trials.filter((one) => kindOf(one) === kind).length] as const).filter(([, number]) => number);
  const over = trials.find((one) => one.number === hover);
  return (
    <figure className="chart">
      <Sketch
        x={{ scale: x, label: "since the first trial began", text: (value) => (value ? span(value) : "0") }}
        y={{ label: lanes === 1 ? "one at a time" : `up to ${lanes} at once` }}
        height={height}
        label={`${count(trials.length, "trial")} in ${span(x.high)}, up to ${lanes} at once; busy ${Math.round(data.busy * 100)} % of the time`}
        draw={draw}
        onMove={(here) => {
          if (!here) return setHover(null);
          const { top, bottom, x: px } = here.frame;
          const lane = Math.floor((here.py - top) / thick(bottom, top));
          setHover(trials.findLast((one) => one.lane === lane && px(one.from_s) - 1 <= here.px && px(one.to_s) + 1 >= here.px)?.number ?? null);
        }}
        onClick={() => hover !== null && onPick(hover)}
      />
      <figcaption>
        {kinds.map(([kind, number]) => (
          <span key={kind} className={`block block-${kind}`}>
            {kind === "stopped" ? "stopped early" : kind} ({number})
          </span>
        ))}
        <span>busy {Math.round(data.busy * 100)} % of the time</span>
        <span className="chart-hover num">{over ? `trial ${over.number}: ${kindOf(over) === "stopped" ? "stopped early" : kindOf(over)} after ${span(over.to_s - over.from_s)}` : ""}</span>
      </figcaption>
    </figure>
  );
}
