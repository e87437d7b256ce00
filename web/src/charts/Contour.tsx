/** The metric over two parameters, averaged over the others. */
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import * as ask from "../api/queries.ts";
import { Loading } from "../components/Status.tsx";
import { num, plain, short } from "../lib/format.ts";
import { css, ramp, rgb } from "../lib/ramp.ts";
import { isLog, place, type Scale, scaleOf } from "../lib/scale.ts";
import { joined, parted } from "../lib/search.ts";
import { type ChartProps, Refused } from "./Charts.tsx";
import { colours } from "./Plot.tsx";
import { type Frame, type Side, Sketch } from "./Sketch.tsx";

interface Field {
  x: { name: string; values: unknown[] };
  y: { name: string; values: unknown[] };
  mean: number[][];
  spread: number[][];
}

export function Contour({ sweep, search, onSearch, params, maximize }: ChartProps) {
  const asked = useMemo(() => parted(search.params) ?? [], [search.params]);
  const query = useQuery(ask.figure(sweep.id, "contour", asked));
  const field = query.data?.data as unknown as Field | undefined;
  const pair = asked.length === 2 ? asked : field ? [field.x.name, field.y.name] : [];
  const pick = (i: number, name: string): void => {
    const other = pair[1 - i] === name ? pair[i] : pair[1 - i];
    const next = i === 0 ? [name, other] : [other, name];
    if (next.every((one) => one !== undefined)) onSearch({ params: joined(next as string[]) });
  };
  return (
    <>
      {pair.length === 2 ? (
        <div className="pair">
          {["across", "up"].map((word, i) => (
            <label key={word}>
              {word}{" "}
              <select className="select" value={pair[i]} onChange={(event) => pick(i, event.target.value)}>
                {[...new Set([...params, ...pair])].map((name) => (
                  <option key={name} value={name}>
                    {name.length > 60 ? `${name.slice(0, 59)}…` : name}
                  </option>
                ))}
              </select>
            </label>
          ))}
          {asked.length ? (
            <button type="button" className="link" onClick={() => onSearch({ params: undefined })}>
              The pair that explains most
            </button>
          ) : (
            <span className="note">the pair that explains most</span>
          )}
        </div>
      ) : null}
      {query.isError && !query.isPlaceholderData ? <Refused error={query.error} retry={() => void query.refetch()} /> : field ? <Drawn field={field} metric={query.data?.metric ?? ""} maximize={maximize[0] ?? false} config={sweep.config} /> : <Loading what="the contour" />}
    </>
  );
}

const STEPS = 9;

function Drawn({ field, metric, maximize, config }: { field: Field; metric: string; maximize: boolean; config: Record<string, unknown> }) {
  const [hover, setHover] = useState<[number, number] | null>(null);
  const x = useMemo(() => sideOf(field.x, config), [field, config]);
  const y = useMemo(() => sideOf(field.y, config), [field, config]);
  const scale = useMemo(() => scaleOf(field.mean.flat().map((value) => num(value) ?? NaN)), [field]);
  const edges = { x: edgesOf(field.x.values, x), y: edgesOf(field.y.values, y) };
  const band = (value: number): number => {
    const share = Math.min(0.999, place(scale, value));
    return Math.floor((maximize ? share : 0.999 - share) * STEPS) / (STEPS - 1);
  };
  const draw = ({ ctx, c, left, right, top, bottom }: Frame): void => {
    const row = c.scale.map(rgb);
    const px = (share: number): number => left + share * (right - left);
    const py = (share: number): number => bottom - share * (bottom - top);
    field.mean.forEach((column, i) =>
      column.forEach((value, j) => {
        ctx.fillStyle = css(ramp(row, band(value)));
        const [x0, x1, y0, y1] = [px(edges.x[i] as number), px(edges.x[i + 1] as number), py(edges.y[j] as number), py(edges.y[j + 1] as number)];
        ctx.fillRect(x0, y1, x1 - x0 + 0.6, y0 - y1 + 0.6);
      }),
    );
    if (hover) {
      const [i, j] = hover;
      ctx.strokeStyle = c.more;
      ctx.lineWidth = 2;
      ctx.strokeRect(px(edges.x[i] as number), py(edges.y[j + 1] as number), px(edges.x[i + 1] as number) - px(edges.x[i] as number), py(edges.y[j] as number) - py(edges.y[j + 1] as number));
    }
  };
  const best = useMemo(() => {
    let found: [number, number] = [0, 0];
    const at = (i: number, j: number): number => (field.mean[i]?.[j] ?? NaN) * (maximize ? -1 : 1);
    field.mean.forEach((column, i) => column.forEach((_, j) => (found = at(i, j) < at(...found) ? [i, j] : found)));
    return found;
  }, [field, maximize]);
  const told = ([i, j]: [number, number]): string => `${field.x.name} ${plain(field.x.values[i]) || "none"}, ${field.y.name} ${plain(field.y.values[j]) || "none"}: ${short(field.mean[i]?.[j] ?? NaN)} ± ${short(field.spread[i]?.[j] ?? NaN)}`;
  const row = colours().scale.map(rgb);
  const ends = maximize ? [scale.low, scale.high] : [scale.high, scale.low];
  return (
    <figure className="chart contour">
      <Sketch
        x={{ ...x, label: field.x.name }}
        y={{ ...y, label: field.y.name }}
        height={400}
        label={`${metric} over ${field.x.name} and ${field.y.name}; best at ${told(best)}`}
        draw={draw}
        onMove={(here) => {
          if (!here) return setHover(null);
          const { left, right, top, bottom } = here.frame;
          const [u, v] = [(here.px - left) / (right - left), (bottom - here.py) / (bottom - top)];
          const [i, j] = [edges.x.findLastIndex((edge) => edge <= u), edges.y.findLastIndex((edge) => edge <= v)];
          setHover(u <= 1 && v <= 1 && i >= 0 && j >= 0 && i < field.x.values.length && j < field.y.values.length ? [i, j] : null);
        }}
      />
      <figcaption>
        <span className="ramp-key num">
          {short(ends[0] as number)} <span className="ramp" style={{ background: `linear-gradient(to right, ${row.map(css).join(", ")})` }} /> {short(ends[1] as number)} {metric}
        </span>
        <span className="chart-hover num">{told(hover ?? best)}{hover ? "" : " (best)"}</span>
      </figcaption>
    </figure>
  );
}

function sideOf({ name, values }: { name: string; values: unknown[] }, config: Record<string, unknown>): Side {
  return values.every((value) => typeof value === "number") && values.length > 3 ? { scale: scaleOf(values as number[], isLog(config, name)) } : { options: values.map((value) => plain(value) || "none") };
}

/** Where the cells begin and end, from 0 to 1: half way between their values. */
function edgesOf(values: readonly unknown[], side: Side): number[] {
  const n = values.length;
  const at = values.map((value, i) => (side.scale ? place(side.scale as Scale, value as number) : (i + 0.5) / n));
  return [0, ...at.slice(1).map((one, i) => (one + (at[i] as number)) / 2), 1];
}
