/** uPlot in the page's own colours: as wide as its place, drawn anew when the colours change. */
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { short } from "../lib/format.ts";
import { usePalette } from "../lib/theme.ts";

export interface Colours {
  ink: string;
  ink2: string;
  ink3: string;
  line: string;
  ground: string;
  accent: string;
  warn: string;
  bad: string;
  series: string[];
  /** From worst to best. */
  scale: string[];
  /** Below nothing, and above it. */
  less: string;
  more: string;
}

export function colours(): Colours {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string): string => style.getPropertyValue(name).trim();
  return {
    ink: of("--ink"),
    ink2: of("--ink-2"),
    ink3: of("--ink-3"),
    line: of("--line"),
    ground: of("--ground"),
    accent: of("--accent"),
    warn: of("--warn"),
    bad: of("--bad"),
    series: [1, 2, 3, 4, 5, 6, 7, 8].map((i) => of(`--series-${i}`)),
    scale: [1, 2, 3, 4, 5].map((i) => of(`--scale-${i}`)),
    less: of("--less"),
    more: of("--more"),
  };
}

interface Props {
  data: uPlot.AlignedData;
  /** Made anew when `shape` or the colours change; the data may change without. */
  options: (colours: Colours) => Omit<uPlot.Options, "width" | "height">;
  shape: string;
  height?: number;
  /** The series that stands out, by its number. */
  focus?: number | null;
  /** What is to be seen, in a sentence. */
  label: string;
}

export function Plot({ data, options, shape, height = 240, focus = null, label }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  const latest = useRef({ data, options });
  latest.current = { data, options };
  const palette = usePalette();

  useEffect(() => {
    const place = box.current;
    if (!place) return;
    const made = new uPlot({ ...latest.current.options(colours()), width: Math.max(120, place.clientWidth), height }, latest.current.data, place);
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize({ width: Math.max(120, place.clientWidth), height }));
    watch.observe(place);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = null;
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [shape, palette, height]);

  useEffect(() => {
    const made = plot.current;
    if (!made) return;
    const { min, max } = made.scales["x"] ?? {};
    const xs = made.data[0];
    const isZoomed = min != null && max != null && xs.length > 0 && (min > (xs[0] as number) || max < (xs.at(-1) as number));
    // New points must not take the reader away from where he looks.
    if (!isZoomed) made.setData(data);
    else
      made.batch(() => {
        made.setData(data, false);
        made.setScale("x", { min, max });
      });
  }, [data]);

  useEffect(() => {
    plot.current?.setSeries(focus, { focus: focus !== null });
  }, [focus, shape, palette]);

  return <div ref={box} className="plot" role="img" aria-label={label} style={{ minHeight: height }} />;
}

/** An axis in the page's type and colours. */
export function axis(c: Colours, more: uPlot.Axis = {}): uPlot.Axis {
  return {
    stroke: c.ink3,
    font: "12px system-ui, sans-serif",
    labelFont: "12px system-ui, sans-serif",
    labelSize: 20,
    ticks: { show: false },
    grid: { stroke: c.line, width: 1 },
    gap: 6,
    size: 28,
    ...more,
  };
}

export const values = (_: uPlot, splits: number[]): string[] => splits.map((one) => (one === null ? "" : short(one)));

/** Room for the numbers beside the axis, as wide as they are. */
export function room(_: uPlot, texts: string[] | null): number {
  return 14 + 7 * Math.max(2, ...(texts ?? []).map((text) => text.length));
}
