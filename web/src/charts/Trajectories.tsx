/** How trials moved their hyperparameters while they trained: what a hypergradient logs as `hyper/…`, of the best trials, a chart for each. */
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import * as ask from "../api/queries.ts";
import { Loading } from "../components/Status.tsx";
import { count, num, short } from "../lib/format.ts";
import { css, ramp, rgb, standing } from "../lib/ramp.ts";
import { scaleOf } from "../lib/scale.ts";
import { usePalette } from "../lib/theme.ts";
import { type ChartProps, MOVED, Refused } from "./Charts.tsx";
import { colours } from "./Plot.tsx";
import { type Frame, Sketch } from "./Sketch.tsx";

const MOST = 40;
const CHARTS = 24;
const LOG_FROM = 30; // so many times the least is the greatest: then ratios tell more than differences

interface Path {
  number: number | null;
  value: number | null;
  /** From 0, the worst, to 1, the best; NaN without a result. */
  share: number;
  x: number[];
  y: number[];
}

export function Trajectories({ sweep, maximize, onPick }: ChartProps) {
  const columns = useQuery(ask.columns(undefined, sweep.id));
  const names = useMemo(() => columns.data?.metrics.filter((name) => name.startsWith(MOVED)) ?? [], [columns.data]);
  const query = useQuery(ask.someRuns({ sweep: sweep.id, sort: maximize[0] ? "-value" : "value", columns: [] }, MOST));
  const runs = useMemo(() => query.data?.runs ?? [], [query.data]);
  const ids = useMemo(() => runs.map((run) => run.id), [runs]);
  const shown = useMemo(() => names.slice(0, CHARTS), [names]);
  const curves = useQuery({ ...ask.curvesOf(ids, shown, "step", runs.some((run) => run.ended === null)), enabled: ids.length > 0 && shown.length > 0 });
  const [hover, setHover] = useState<number | null>(null);
  const made = useMemo(() => {
    const values = runs.map((run) => num(run.values?.[0]) ?? NaN);
    const shares = standing(values, maximize[0] ?? false);
    return shown.map((name) => ({
      name,
      paths: runs.flatMap((run, i): Path[] => {
        const line = curves.data?.[run.id]?.[name];
        const points = (line?.y ?? []).flatMap((value, k) => {
          const y = num(value);
          return y !== null && Number.isFinite(y) ? [[line?.x[k] as number, y] as const] : [];
        });
        return points.length ? [{ number: run.number, value: num(run.values?.[0]), share: shares[i] as number, x: points.map(([x]) => x), y: points.map(([, y]) => y) }] : [];
      }),
    }));
  }, [shown, runs, curves.data, maximize]);
  usePalette(); // the key is drawn anew when the colours change
  if (columns.isError && !columns.data) return <Refused error={columns.error} retry={() => void columns.refetch()} />;
  if (query.isError && !query.data) return <Refused error={query.error} retry={() => void query.refetch()} />;
  if (curves.isError && !curves.data) return <Refused error={curves.error} retry={() => void curves.refetch()} />;
  if (!columns.data || !query.data) return <Loading what="the trajectories" />;
  if (!names.length) return <p className="note">No trial has moved a hyperparameter: what is tuned by hypergradients is logged as {MOVED}…</p>;
  if (!curves.data) return <Loading what="the trajectories" />;
  const num_trials = new Set(made.flatMap((one) => one.paths.map((path) => path.number))).size;
  const metric = String(sweep.metrics[0]?.["name"] ?? "");
  const under = made.flatMap((one) => one.paths).find((path) => path.number === hover && hover !== null);
  return (
    <>
      <p className="note">
        What {count(num_trials, "trial")} made of their hyperparameters while they trained{query.data.total > MOST ? `, of the ${MOST} best` : ""}.{" "}
        <span className="ramp-key">
          worst <span className="ramp" style={{ background: `linear-gradient(to right, ${colours().scale.join(", ")})` }} /> best {metric}, by rank
        </span>{" "}
        <span className="chart-hover num">{under ? `trial ${under.number}: ${metric} ${under.value === null ? "none" : short(under.value)}` : ""}</span>
      </p>
      <div className="small-charts">
        {made.map(({ name, paths }) => (
          <One key={name} name={name.slice(MOVED.length)} paths={paths} hover={hover} onHover={setHover} onPick={onPick} />
        ))}
      </div>
      {names.length > CHARTS ? <p className="note">{names.length - CHARTS} more are on the trials' own pages.</p> : null}
    </>
  );
}

interface OneProps {
  name: string;
  paths: readonly Path[];
  hover: number | null;
  onHover: (number: number | null) => void;
  onPick: (number: number) => void;
}

function One({ name, paths, hover, onHover, onPick }: OneProps) {
  const all = useMemo(() => paths.flatMap((path) => path.y), [paths]);
  const [low, high] = useMemo(() => all.reduce(([a, b], y) => [Math.min(a, y), Math.max(b, y)] as const, [Infinity, -Infinity] as const), [all]);
  const isLog = low > 0 && high > low * LOG_FROM;
  const y = useMemo(() => scaleOf(all, isLog), [all, isLog]);
  const x = useMemo(() => scaleOf(paths.flatMap((path) => [path.x[0] as number, path.x.at(-1) as number])), [paths]);
  const over = paths.find((path) => path.number === hover && hover !== null);
  const draw = ({ ctx, c, x: px, y: py }: Frame): void => {
    const row = c.scale.map(rgb);
    const line = (path: Path, width: number, colour: string): void => {
      ctx.strokeStyle = ctx.fillStyle = colour;
      ctx.lineWidth = width;
      ctx.beginPath();
      path.x.forEach((at, i) => ctx.lineTo(px(at), py(path.y[i] as number)));
      ctx.stroke();
      ctx.beginPath();
      ctx.arc(px(path.x.at(-1) as number), py(path.y.at(-1) as number), width + 1, 0, 7);
      ctx.fill();
    };
    ctx.globalAlpha = over ? 0.35 : 0.9;
    for (const path of [...paths].sort((a, b) => (Number.isNaN(a.share) ? -1 : a.share) - (Number.isNaN(b.share) ? -1 : b.share))) line(path, 1.25, Number.isNaN(path.share) ? c.ink3 : css(ramp(row, path.share)));
    ctx.globalAlpha = 1;
    if (over) line(over, 2.5, c.accent);
  };
  return (
    <figure className="chart">
      <figcaption>
        <span className="chart-title" title={name}>
          {name}
        </span>
        <span className="chart-hover num">{over ? `${short(over.y[0] as number)} → ${short(over.y.at(-1) as number)}` : ""}</span>
      </figcaption>
      <Sketch
        x={{ scale: x, label: "step" }}
        y={{ scale: y }}
        height={220}
        label={`${name} over the steps of ${count(paths.length, "trial")}`}
        draw={draw}
        onMove={(here) => {
          let [found, least]: [number | null, number] = [null, 12];
          for (const path of here ? paths : [])
            path.x.forEach((at, i) => {
              const far = Math.hypot(((here?.frame.x(at) ?? 0) - (here?.px ?? 0)) / 2, (here?.frame.y(path.y[i] as number) ?? 0) - (here?.py ?? 0));
              if (far < least) [found, least] = [path.number, far];
            });
          onHover(found);
        }}
        onClick={() => hover !== null && onPick(hover)}
      />
    </figure>
  );
}
