/** What rises and falls together, by ranks: a table of which the colours can be seen from afar. */
import { useQuery } from "@tanstack/react-query";
import * as ask from "../api/queries.ts";
import { Loading } from "../components/Status.tsx";
import { usePalette } from "../lib/theme.ts";
import { css, ramp, rgb } from "../lib/ramp.ts";
import { type ChartProps, Refused } from "./Charts.tsx";
import { colours } from "./Plot.tsx";

export function Correlation({ sweep }: ChartProps) {
  const query = useQuery(ask.figure(sweep.id, "correlation"));
  usePalette();
  if (query.isError && !query.data) return <Refused error={query.error} retry={() => void query.refetch()} />;
  if (!query.data) return <Loading what="the correlations" />;
  const { names, rho } = query.data.data as { names: string[]; rho: (number | null)[][] };
  const c = colours();
  const [ground, less, more] = [c.ground, c.less, c.more].map(rgb);
  // No more than half of the full colour, so that the figures on it can be read.
  const tint = (value: number | null): string | undefined => (value === null || !ground || !less || !more ? undefined : css(ramp([ground, value < 0 ? less : more], Math.abs(value) * 0.38)));
  return (
    <>
      <p className="note">
        Rank correlation of the results: <span style={{ boxShadow: `inset 0 -2px ${c.more}` }}>1</span> rise together, <span style={{ boxShadow: `inset 0 -2px ${c.less}` }}>−1</span> one falls as the other rises, 0 nothing of that kind. Metrics first.
      </p>
      <div className="scroll" tabIndex={0}>
        <table className="plain correlation" aria-label="Rank correlations">
          <thead>
            <tr>
              <td />
              {names.map((name) => (
                <th key={name} scope="col" title={name}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {names.map((name, i) => (
              <tr key={name}>
                <th scope="row" title={name}>
                  {name}
                </th>
                {names.map((other, j) => {
                  const value = rho[i]?.[j] ?? null;
                  return (
                    <td key={other} className="num" title={value === null || i === j ? undefined : `${name} and ${other}: ${value}`} style={i === j ? {} : { background: tint(value) }}>
                      {i === j ? "" : value === null ? "–" : value.toFixed(2).replace("-", "−")}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
