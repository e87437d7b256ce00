/** Two metrics against each other, with the trials that no other beats in both. */
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import * as ask from "../api/queries.ts";
import { Loading } from "../components/Status.tsx";
import { count, short } from "../lib/format.ts";
import { scaleOf } from "../lib/scale.ts";
import { type ChartProps, Refused } from "./Charts.tsx";
import { type Frame, Sketch } from "./Sketch.tsx";

interface Point {
  number: number;
  values: number[];
  front: boolean;
}

export function Front({ sweep, onPick }: ChartProps) {
  const query = useQuery(ask.figure(sweep.id, "pareto"));
  const data = query.data?.data as unknown as { metrics: string[]; trials: Point[] } | undefined;
  const [pair, setPair] = useState<[number, number]>([0, 1]);
  if (query.isError && !query.data) return <Refused error={query.error} retry={() => void query.refetch()} />;
  if (!data) return <Loading what="the front" />;
  return (
    <>
      {data.metrics.length > 2 ? (
        <div className="pair">
          {["across", "up"].map((word, i) => (
            <label key={word}>
              {word}{" "}
              <select className="select" value={pair[i]} onChange={(event) => setPair(i ? [pair[0], Number(event.target.value)] : [Number(event.target.value), pair[1]])}>
                {data.metrics.map((name, m) => (
                  <option key={name} value={m}>
                    {name}
                  </option>
                ))}
              </select>
            </label>
          ))}
        </div>
      ) : null}
      <Drawn trials={data.trials} names={[data.metrics[pair[0]] as string, data.metrics[pair[1]] as string]} pair={pair} onPick={onPick} />
    </>
  );
}

function Drawn({ trials, names, pair: [i, j], onPick }: { trials: readonly Point[]; names: [string, string]; pair: [number, number]; onPick: (number: number) => void }) {
  const [hover, setHover] = useState<number | null>(null);
  const x = useMemo(() => padded(trials.map((one) => one.values[i] as number)), [trials, i]);
  const y = useMemo(() => padded(trials.map((one) => one.values[j] as number)), [trials, j]);
  const front = trials.filter((one) => one.front);
  const draw = ({ ctx, c, x: px, y: py }: Frame): void => {
    for (const one of [...trials.filter((trial) => !trial.front), ...front]) {
      ctx.fillStyle = one.front ? c.accent : c.ink3;
      ctx.globalAlpha = one.front || one.number === hover ? 1 : 0.55;
      ctx.beginPath();
      ctx.arc(px(one.values[i] as number), py(one.values[j] as number), one.number === hover ? 6 : one.front ? 4.5 : 3, 0, 7);
      ctx.fill();
    }
    ctx.globalAlpha = 1;
  };
  const over = trials.find((one) => one.number === hover);
  return (
    <figure className="chart">
      <Sketch
        x={{ scale: x, label: names[0] }}
        y={{ scale: y, label: names[1] }}
        height={340}
        label={`${names[1]} against ${names[0]} of ${count(trials.length, "trial")}; ${front.length} on the front`}
        draw={draw}
        onMove={(here) => {
          let [found, least]: [number | null, number] = [null, 14];
          for (const one of here ? trials : []) {
            const distance = Math.hypot((here?.frame.x(one.values[i] as number) ?? 0) - (here?.px ?? 0), (here?.frame.y(one.values[j] as number) ?? 0) - (here?.py ?? 0));
            if (distance < least) [found, least] = [one.number, distance];
          }
          setHover(found);
        }}
        onClick={() => hover !== null && onPick(hover)}
      />
      <figcaption>
        <span className="block block-running">no other beats it in every metric ({front.length})</span>
        <span className="block block-finished">others ({trials.length - front.length})</span>
        <span className="chart-hover num">{over ? `trial ${over.number}: ${names[0]} ${short(over.values[i] as number)}, ${names[1]} ${short(over.values[j] as number)}` : ""}</span>
      </figcaption>
    </figure>
  );
}

function padded(values: readonly number[]): ReturnType<typeof scaleOf> {
  const scale = scaleOf(values);
  const pad = (scale.high / 2 - scale.low / 2) * 0.08;
  return { ...scale, low: scale.low - pad, high: scale.high + pad };
}
