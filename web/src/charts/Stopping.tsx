/** The trials' curves, where they were stopped early, and why. */
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import * as ask from "../api/queries.ts";
import { Loading } from "../components/Status.tsx";
import { range } from "../lib/curves.ts";
import { count, num, short } from "../lib/format.ts";
import { scaleOf } from "../lib/scale.ts";
import { type ChartProps, Refused } from "./Charts.tsx";
import { type Frame, Sketch } from "./Sketch.tsx";

interface Curve {
  number: number;
  phase: string;
  stopped: boolean;
  steps: number[];
  values: number[];
}

const MOST = 1000;
const SHOWN = 8;

export function Stopping({ sweep, maximize, onSearch, onPick }: ChartProps) {
  const query = useQuery(ask.figure(sweep.id, "stopping"));
  const ended = useQuery(ask.someRuns({ sweep: sweep.id, filter: "stopped", sort: "-number", columns: [] }, MOST));
  const [hover, setHover] = useState<number | null>(null);
  const data = query.data?.data as unknown as { curves: Curve[]; num_stopped: number; steps_saved: number } | undefined;
  const curves = useMemo(() => data?.curves.map((one) => ({ ...one, values: one.values.map((value) => num(value) ?? NaN) })) ?? [], [data]);
  const y = useMemo(() => {
    const { low, high, log } = range(curves.flatMap((one) => one.values), maximize[0] ?? false);
    return scaleOf([low, high], log);
  }, [curves, maximize]);
  const x = useMemo(() => scaleOf(curves.flatMap((one) => [one.steps[0] as number, one.steps.at(-1) as number])), [curves]);
  if (query.isError && !query.data) return <Refused error={query.error} retry={() => void query.refetch()} />;
  if (!data) return <Loading what="the curves" />;
  const reasons = new Map(ended.data?.runs.map((run) => [run.number, run.reason]));
  const clip = (value: number): number => Math.min(y.high, Math.max(y.low, value));

  const draw = ({ ctx, c, x: px, y: py }: Frame): void => {
    const path = (one: Curve): void => one.steps.forEach((step, i) => (i ? ctx.lineTo(px(step), py(clip(one.values[i] as number))) : ctx.moveTo(px(step), py(clip(one.values[i] as number)))));
    const faint = Math.max(0.08, Math.min(0.7, 6 / Math.sqrt(curves.length)));
    for (const [stopped, colour] of [[true, c.warn], [false, c.ink3]] as const) {
      ctx.strokeStyle = colour;
      ctx.lineWidth = 1;
      ctx.globalAlpha = stopped ? faint : Math.min(0.9, faint * 1.6);
      for (let from = 0; from < curves.length; from += 200) {
        ctx.beginPath(); // in pieces: one path of many thousand parts is slow to draw
        for (const one of curves.slice(from, from + 200)) if (one.stopped === stopped) path(one);
        ctx.stroke();
      }
    }
    ctx.globalAlpha = curves.length > 500 ? 0.5 : 1;
    ctx.strokeStyle = c.warn;
    ctx.lineWidth = 1.5;
    ctx.beginPath();
    for (const one of curves.filter((curve) => curve.stopped)) {
      const [ex, ey] = [px(one.steps.at(-1) as number), py(clip(one.values.at(-1) as number))];
      ctx.moveTo(ex, ey - 4);
      ctx.lineTo(ex + 4, ey + 3);
      ctx.lineTo(ex - 4, ey + 3);
      ctx.closePath();
    }
    ctx.stroke();
    ctx.globalAlpha = 1;
    const under = curves.find((one) => one.number === hover);
    if (!under) return;
    ctx.strokeStyle = c.accent;
    ctx.lineWidth = 2.5;
    ctx.beginPath();
    path(under);
    ctx.stroke();
  };
  const over = curves.find((one) => one.number === hover);
  const told = (one: Curve): string => `trial ${one.number}: ${short(one.values.at(-1) as number)} at step ${one.steps.at(-1)}${one.stopped ? ` – ${reasons.get(one.number) || "stopped early"}` : ""}`;
  const stopped = ended.data?.runs ?? [];
  return (
    <figure className="chart">
      <Sketch
        x={{ scale: x, label: "step" }}
        y={{ scale: y, label: query.data?.metric ?? "" }}
        height={320}
        label={`${count(curves.length, "curve")} of ${query.data?.metric}; ${data.num_stopped} stopped early`}
        draw={draw}
        onMove={(here) => {
          if (!here) return setHover(null);
          let [found, least]: [number | null, number] = [null, 12];
          for (const one of curves) {
            const i = one.steps.findIndex((_, k) => here.frame.x(one.steps[k] as number) >= here.px);
            const [a, b] = i < 0 ? [one.steps.length - 1, one.steps.length - 1] : [Math.max(0, i - 1), i];
            const [ax, bx] = [here.frame.x(one.steps[a] as number), here.frame.x(one.steps[b] as number)];
            if (here.px > bx + 12) continue;
            const share = bx > ax ? Math.min(1, Math.max(0, (here.px - ax) / (bx - ax))) : 0;
            const distance = Math.abs(here.frame.y(clip(one.values[a] as number)) * (1 - share) + here.frame.y(clip(one.values[b] as number)) * share - here.py);
            if (distance < least) [found, least] = [one.number, distance];
          }
          setHover(found);
        }}
        onClick={() => hover !== null && onPick(hover)}
      />
      <figcaption>
        <span className="key key-triangle">stopped early ({data.num_stopped})</span>
        <span className="note">{data.steps_saved > 0 ? `${Math.round(data.steps_saved * 100)} % of the steps were saved` : "no step was saved"}</span>
        <span className="chart-hover num">{over ? told(over) : ""}</span>
      </figcaption>
      {stopped.length ? (
        <div className="scroll" tabIndex={0}>
          <table className="plain" aria-label="Why trials were stopped">
            <thead>
              <tr>
                <th>trial</th>
                <th className="left">why it was stopped</th>
              </tr>
            </thead>
            <tbody>
              {stopped.slice(0, SHOWN).map((run) => (
                <tr key={run.id}>
                  <th scope="row" className="num">
                    {run.number}
                  </th>
                  <td className="left">{run.reason || "no reason is known"}</td>
                </tr>
              ))}
            </tbody>
          </table>
          {stopped.length > SHOWN ? (
            <p className="note">
              These are the last {SHOWN}.{" "}
              <button type="button" className="link" onClick={() => onSearch({ filter: "stopped" })}>
                All of them in the table
              </button>
            </p>
          ) : null}
        </div>
      ) : null}
    </figure>
  );
}
