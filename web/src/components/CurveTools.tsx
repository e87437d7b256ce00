/** What curves are looked at with: which of them, how smooth, on which scale, over what. All of it is in the address. */
import { Choice } from "./Button.tsx";

export type Over = "step" | "time" | "epoch";

export type Looking = {
  find?: string | undefined;
  smooth?: string | undefined;
  log?: string | undefined;
  x?: string | undefined;
};

interface Props {
  search: Looking;
  go: (more: Looking) => void;
  /** How many curves there are to be found. */
  count: number;
  /** What they may be drawn over. */
  over: readonly Over[];
}

/** How strongly curves are smoothed, 0 to 0.99, as the address has it. */
export const smoothingOf = (search: Looking): number => Math.min(0.99, Math.max(0, Number(search.smooth) || 0));

export function CurveTools({ search, go, count, over }: Props) {
  const smoothing = smoothingOf(search);
  const x = over.find((one) => one === search.x) ?? "step";
  return (
    <>
      {count > 4 ? <input id="filter" type="search" className="input" aria-label="Find a curve" placeholder="Find a curve" value={search.find ?? ""} onChange={(event) => go({ find: event.target.value || undefined })} /> : null}
      <label className="slider">
        smooth
        <input type="range" min={0} max={0.99} step={0.01} value={smoothing} onChange={(event) => go({ smooth: Number(event.target.value) ? event.target.value : undefined })} />
        <span className="num">{smoothing ? smoothing.toFixed(2) : "off"}</span>
      </label>
      <Choice label="Values" value={search.log === "1" ? "log" : "linear"} options={[["linear", "linear"], ["log", "log"]]} onChange={(one) => go({ log: one === "log" ? "1" : undefined })} />
      <Choice label="Over" value={x} options={over.map((one) => [one, one] as const)} onChange={(one) => go({ x: one === "step" ? undefined : one })} />
    </>
  );
}
