/** The best so far of several sweeps over the trials begun; where several search alike their median, with the quartiles as a band. */
import { useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import type { Schemas } from "../api/client.ts";
import { dashOf, type Drawn, filled, regret } from "../lib/compare.ts";
import { num, short } from "../lib/format.ts";
import { axis, type Colours, Plot, room, values } from "./Plot.tsx";

type Contest = Schemas["ContestView"];
type Curve = [number, number][];

interface Props {
  contest: Contest;
  drawn: readonly Drawn<Schemas["TeamView"]>[];
  /** How far from the best of all, rather than the values. */
  behind: boolean;
  log: boolean;
  near: string | null;
  onNear: (id: string | null) => void;
}

interface Series {
  id: string;
  name: string;
  place: number;
  look: "line" | "thin" | "high" | "low";
  curve: Curve;
  end: number;
}

export function ContestChart({ contest, drawn, behind, log, near, onNear }: Props) {
  const [hover, setHover] = useState("");
  const maximize = contest.goal === "maximize";
  const { series, data, best, isLog } = useMemo(() => {
    const bests = contest.sweeps.flatMap((one) => num(one.best) ?? []).filter(Number.isFinite);
    const best = bests.length ? (maximize ? Math.max(...bests) : Math.min(...bests)) : null;
    const shownAs = (curve: Curve): Curve => (behind && best !== null ? regret(curve, best, maximize) : curve);
    const read = (points: readonly (readonly [number, unknown])[]): Curve => shownAs(points.flatMap(([n, value]): Curve => (Number.isFinite(num(value) ?? NaN) ? [[n, num(value) as number]] : [])));
    const series = drawn.flatMap(({ id, name, place, sweeps, team }): Series[] => {
      const mine = contest.sweeps.filter((one) => sweeps.includes(one.sweep));
      const lines = mine.map((one): Series => ({ id, name: team ? one.name : name, place, look: team ? "thin" : "line", curve: read(one.curve), end: one.num_trials }));
      if (!team?.curve.length) return lines;
      const end = team.curve.at(-1)?.num_trials ?? 0;
      const of = (key: "median" | "low" | "high", look: Series["look"]): Series => ({ id, name, place, look, end, curve: read(team.curve.map((one) => [one.num_trials, one[key]] as const)) });
      return [...lines, of("high", "high"), of("low", "low"), of("median", "line")];
    });
    const positive = series.flatMap((one) => one.curve.map(([, y]) => y)).filter((y) => y > 0);
    const isLog = log && positive.length > 0;
    const floor = positive.length ? Math.min(...positive) / 2 : 0; // what is nothing lies at the foot of a logarithmic scale
    const x = [...new Set(series.flatMap((one) => [...one.curve.map(([n]) => n), one.end]))].filter((n) => n > 0).sort((a, b) => a - b);
    const ys = series.map((one) => filled(one.curve, x, one.end).map((y) => (y !== null && isLog && y < floor ? (behind ? floor : null) : y)));
    return { series, data: [x, ...ys] as uPlot.AlignedData, best, isLog };
  }, [contest, drawn, behind, log, maximize]);

  const latest = useRef({ series, onNear });
  latest.current = { series, onNear };
  const options = (c: Colours): Omit<uPlot.Options, "width" | "height"> => {
    const colour = (place: number): string => c.series[place % c.series.length] as string;
    return {
      legend: { show: false },
      focus: { alpha: 0.25 },
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false } },
      scales: { x: { time: false }, y: { distr: isLog ? 3 : 1 } },
      axes: [axis(c, { values, label: "trials begun", grid: { show: false }, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000] }), axis(c, { values, size: room })],
      series: [
        {},
        ...series.map(({ name, place, look }): uPlot.Series => {
          const path = uPlot.paths.stepped?.({ align: 1 });
          return { label: name, stroke: look === "line" ? colour(place) : look === "thin" ? `${colour(place)}66` : "transparent", width: look === "line" ? 2 : 1, dash: look === "line" ? dashOf(place) : [], points: { show: false }, ...(path ? { paths: path } : {}) };
        }),
      ],
      bands: series.flatMap(({ look, place }, i) => (look === "high" ? [{ series: [i + 1, i + 2] as [number, number], fill: `${colour(place)}2e` }] : [])),
      hooks: {
        setCursor: [
          (plot) => {
            const { series: shown, onNear: tell } = latest.current;
            const i = plot.cursor.idx;
            const at = i == null ? undefined : plot.data[0][i];
            if (i == null || at === undefined) {
              tell(null);
              return setHover("");
            }
            const there = shown.flatMap((one, n) => {
              const y = plot.data[n + 1]?.[i];
              return one.look === "line" && y != null ? [{ one, y, far: Math.abs(plot.valToPos(y, "y") - (plot.cursor.top ?? 0)) }] : [];
            });
            const nearest = there.length ? there.reduce((a, b) => (b.far < a.far ? b : a)) : null;
            tell(nearest?.one.id ?? null);
            return setHover(nearest ? `${nearest.one.name} · after ${at} trials: ${short(nearest.y)}` : `after ${at} trials`);
          },
        ],
      },
    };
  };
  const focus = near === null ? -1 : series.findIndex((one) => one.id === near && one.look === "line");
  const said = contest.sweeps.map((one) => `${one.name} ${num(one.best) === null ? "no result" : short(num(one.best) as number)} after ${one.num_trials} trials`);
  return (
    <figure className="chart">
      <figcaption>
        <span className="chart-title">{behind ? `${contest.metric}: behind the best of all${best === null ? "" : ` (${short(best)})`}` : `${contest.metric}: best so far`}</span>
        <span className="chart-hover num">{hover}</span>
      </figcaption>
      <Plot data={data} options={options} focus={focus < 0 ? null : focus + 1} shape={`${series.map((one) => `${one.name} ${one.place} ${one.look}`).join("\n")} ${isLog}`} height={340} label={`${contest.metric} so far: ${said.slice(0, 8).join("; ")}`} />
      {contest.teams.length ? <div className="note">Bands are the quartiles of sweeps that search alike, the strong line is their median: from where all of them have a result to where the shortest ends.</div> : null}
    </figure>
  );
}
