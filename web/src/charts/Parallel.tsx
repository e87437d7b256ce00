/** Parallel coordinates: an axis a parameter, a line a trial. Ranges on the axes are a part of the table's filter. */
import { type CSSProperties, useLayoutEffect, useMemo, useRef, useState } from "react";
import type { Schemas } from "../api/client.ts";
import { type Brush, range, read, write } from "../lib/brush.ts";
import { count, plain } from "../lib/format.ts";
import { arranged, type Axis, moved, nearest, ready, selected } from "../lib/parallel.ts";
import { css, ramp, rgb } from "../lib/ramp.ts";
import { place } from "../lib/scale.ts";
import { drawSoon, usePalette } from "../lib/theme.ts";
import { colours } from "./Plot.tsx";
import { Ranges } from "./Ranges.tsx";
import { alphaOf, draw, packed, type Picture, picture } from "./raster.ts";
import { useWidth } from "./width.ts";

interface Props {
  data: Schemas["Parallel"];
  maximize: readonly boolean[];
  filter: string;
  onFilter: (filter: string) => void;
  /** The axes from left to right; null: as they come. */
  axes: readonly string[] | null;
  /** Those with their low end above. */
  flipped: readonly string[];
  onAxes: (axes: readonly string[] | null, flipped: readonly string[]) => void;
  onPick: (number: number) => void;
}

const HEIGHT = 300;
const TOP = 34;
const BELOW = 14;
const SIDE = 62;
const LEAST = 92;
const REACH = 14;
const MOVING = 3000;
const PART = 2000;

/** The picture, and the faint one that lies below what is chosen; `of`: the places and colours with which that was drawn. */
interface Kept {
  image: ImageData;
  onto: Picture;
  faint: Picture;
  of: readonly [unknown, unknown] | null;
}

type Drag = { kind: "brush"; name: string; from: number; to: number; grip: number | null } | { kind: "axis"; name: string; x: number; from: number; far: boolean };

export function Parallel({ data, maximize, filter, onFilter, axes: asked, flipped, onAxes, onPick }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const wide = useWidth(box);
  const palette = usePalette();
  const [drag, showDrag] = useState<Drag | null>(null);
  const held = useRef<Drag | null>(null); // as it is now: what is shown may lag behind the hand
  const setDrag = (now: Drag | null): void => {
    held.current = now;
    showDrag(now);
  };
  const [hover, setHover] = useState<number | null>(null);
  const made = useMemo(() => ready(data, maximize), [data, maximize]);
  const inOrder = useMemo(() => arranged(made.axes, asked), [made, asked]);
  const stored = useMemo(() => read(filter, made.axes).brushes, [filter, made]);

  const num = inOrder.length;
  const width = Math.max(wide, 2 * SIDE + (num - 1) * LEAST);
  const gap = num > 1 ? (width - 2 * SIDE) / (num - 1) : 0;
  const home = (i: number): number => (num > 1 ? SIDE + i * gap : width / 2);
  // While an axis is dragged the others make room for it.
  const shown = useMemo(() => {
    if (drag?.kind !== "axis" || !drag.far) return inOrder;
    return dropped(inOrder, drag.name, drag.x, gap);
  }, [inOrder, drag, gap]);
  const xs = shown.map((axis, i) => (drag?.kind === "axis" && drag.far && drag.name === axis.name ? Math.max(SIDE / 2, Math.min(width - SIDE / 2, drag.x)) : home(i)));
  const isFlipped = (axis: Axis): boolean => flipped.includes(axis.name);
  const y = (axis: Axis, at: number): number => TOP + (isFlipped(axis) ? at : 1 - at) * HEIGHT;
  const atY = (axis: Axis, pixel: number): number => {
    const share = Math.max(0, Math.min(1, (pixel - TOP) / HEIGHT));
    return isFlipped(axis) ? share : 1 - share;
  };

  const brushes = useMemo(() => brushed(made.axes, stored, drag), [stored, drag, made]);
  const chosen = useMemo(() => selected(made, brushes), [made, brushes]);
  const isBrushed = brushes.size > 0;

  // What is drawn: all lines, or all of them faintly (kept, for it stays while brushes move) and the chosen ones over it.
  const key = shown.map((axis) => `${axis.name}${isFlipped(axis)}`).join("\n") + xs.join();
  const placed = useMemo(() => shown.map((axis) => Float32Array.from(axis.at, (at) => y(axis, at))), [made, key]); // eslint-disable-line react-hooks/exhaustive-deps
  const inks = useMemo(() => {
    const c = colours();
    const row = c.scale.map(rgb);
    const none = packed(rgb(c.ink3));
    return { ground: packed(rgb(c.ground)), faint: packed(rgb(c.line)), best: row, lines: Uint32Array.from(made.standing, (share) => (Number.isNaN(share) ? none : packed(ramp(row, share)))) };
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [made, palette]);
  // While something is dragged, so many lines stand for all, lest the hand waits for them.
  const isDragged = drag?.kind === "brush" || (drag?.kind === "axis" && drag.far);
  const drawn = useMemo(() => thinned(chosen, isDragged ? MOVING : Infinity), [chosen, isDragged]);
  const kept = useRef<Kept | null>(null);
  useLayoutEffect(() => {
    const place = canvas.current;
    const context = place?.getContext("2d");
    if (!place || !context || !wide) return;
    let later: ReturnType<typeof setTimeout> | undefined;
    const stop = drawSoon(() => {
      const began = performance.now();
      const fine = Math.min(2, devicePixelRatio || 1);
      const [w, h] = [Math.round(width * fine), Math.round((TOP + HEIGHT + BELOW) * fine)];
      if (place.width !== w || place.height !== h) [place.width, place.height] = [w, h];
      if (kept.current?.image.width !== w || kept.current.image.height !== h) {
        const image = new ImageData(w, h);
        kept.current = { image, onto: { pixels: new Uint32Array(image.data.buffer), width: w, height: h }, faint: picture(w, h), of: null };
      }
      const { image, onto, faint } = kept.current;
      const scaled = { xs: xs.map((x) => x * fine), ys: fine === 1 ? placed : placed.map((column) => column.map((one) => one * fine)) };
      const all = thinned(made.order, drag?.kind === "axis" ? MOVING : Infinity);
      const isKept = (): boolean => kept.current?.of?.[0] === placed && kept.current.of[1] === inks;
      // In parts, so that the page answers between them, or at once.
      const drawFaint = (from: number, part: number): void => {
        if (!kept.current || isKept()) return;
        if (!from) {
          faint.pixels.fill(inks.ground);
          kept.current.of = null;
        }
        draw(faint, { ...scaled, which: all.subarray(from, from + part), colours: inks.faint, alpha: alphaOf(all.length) * 0.6, smooth: false });
        if (from + part < all.length) later = setTimeout(drawFaint, 0, from + part, part);
        else kept.current.of = all === made.order ? [placed, inks] : null;
      };
      if (isBrushed) {
        drawFaint(0, all.length);
        onto.pixels.set(faint.pixels);
      } else {
        onto.pixels.fill(inks.ground);
        later = setTimeout(drawFaint, 200, 0, PART); // the first brush finds it ready
      }
      draw(onto, { ...scaled, which: drawn, colours: inks.lines, alpha: alphaOf(drawn.length), smooth: drawn.length <= 2000 });
      context.putImageData(image, 0, 0);
      performance.measure(isBrushed ? "parallel brush" : "parallel redraw", { start: began });
    });
    return () => {
      stop();
      clearTimeout(later);
    };
    // `placed` is made anew whenever the axes are elsewhere; `drag` counts only in what is drawn of it.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [made, placed, inks, width, wide, drawn, isBrushed]);

  const point = (event: React.PointerEvent): [number, number] => {
    const at = event.currentTarget.closest("svg")?.getBoundingClientRect();
    return at ? [event.clientX - at.left, event.clientY - at.top] : [0, 0];
  };
  const commit = (all: ReadonlyMap<string, Brush>): void => onFilter(write(filter, made.axes, all));
  const drop = (name: string): void => commit(new Map([...stored].filter(([one]) => one !== name)));

  const onBrushStart = (event: React.PointerEvent, axis: Axis): void => {
    if (event.button !== 0 || !axis.brushable) return;
    const at = atY(axis, point(event)[1]);
    const ends = placesOf(axis, stored.get(axis.name));
    event.currentTarget.setPointerCapture(event.pointerId);
    setHover(null);
    const near = 7 / HEIGHT;
    if (ends && axis.scale && Math.abs(at - ends[0]) < near) setDrag({ kind: "brush", name: axis.name, from: ends[1], to: at, grip: null });
    else if (ends && axis.scale && Math.abs(at - ends[1]) < near) setDrag({ kind: "brush", name: axis.name, from: ends[0], to: at, grip: null });
    else if (ends && axis.scale && at > ends[0] && at < ends[1]) setDrag({ kind: "brush", name: axis.name, from: ends[0], to: ends[1], grip: at });
    else setDrag({ kind: "brush", name: axis.name, from: at, to: at, grip: null });
  };
  const onMove = (event: React.PointerEvent): void => {
    const [px, py] = point(event);
    const drag = held.current;
    if (drag?.kind === "brush") {
      const axis = made.axes.find((one) => one.name === drag.name) as Axis;
      const at = atY(axis, py);
      if (drag.grip === null) setDrag({ ...drag, to: at });
      else {
        const by = Math.max(-drag.from, Math.min(1 - drag.to, at - drag.grip));
        setDrag({ ...drag, from: drag.from + by, to: drag.to + by, grip: drag.grip + by });
      }
      return;
    }
    const i = xs.findIndex((x) => x > px);
    const [left, right] = i < 0 ? [xs.length - 1, xs.length - 1] : i === 0 ? [0, 0] : [i - 1, i];
    const share = left === right ? 0 : (px - (xs[left] as number)) / ((xs[right] as number) - (xs[left] as number));
    setHover(py < TOP - 6 ? null : nearest(chosen, placed[left] ?? new Float32Array(), placed[right] ?? new Float32Array(), share, py, 9));
  };
  const onEnd = (): void => {
    const drag = held.current;
    if (drag?.kind === "brush") {
      if (drag.grip === null && Math.abs(drag.from - drag.to) * HEIGHT < 3 && made.axes.find((one) => one.name === drag.name)?.scale) drop(drag.name);
      else commit(brushed(made.axes, stored, drag));
    }
    setDrag(null);
  };
  const names = inOrder.map((axis) => axis.name);
  const flip = (name: string): void => onAxes(asked, flipped.includes(name) ? flipped.filter((one) => one !== name) : [...flipped, name]);
  const shift = (name: string, by: number): void => onAxes(moved(names, name, names.indexOf(name) + by), flipped);

  const metric = made.axes.find((axis) => axis.isMetric);
  const shownHover = hover !== null && hover < made.numbers.length ? hover : null;
  return (
    <figure className="chart parallel">
      <div ref={box} className="parallel-scroll">
        <div className="parallel-inner" style={{ width, height: TOP + HEIGHT + BELOW, "--least": `${width}px` } as CSSProperties}>
          <canvas ref={canvas} role="img" aria-label={`${count(made.numbers.length, "trial")} over ${names.join(", ")}${isBrushed ? `; ${chosen.length} are within the ranges` : ""}`} style={{ width, height: TOP + HEIGHT + BELOW }} />
          <svg width={width} height={TOP + HEIGHT + BELOW} aria-hidden="true" onPointerMove={onMove} onPointerUp={onEnd} onPointerCancel={() => setDrag(null)} onPointerLeave={() => drag ?? setHover(null)} onClick={() => shownHover !== null && !drag && onPick(made.numbers[shownHover] as number)} className={shownHover === null ? "" : "parallel-over"}>
            {shown.map((axis, i) => (
              <AxisMarks key={axis.name} axis={axis} x={xs[i] as number} y={(at) => y(axis, at)} brush={brushes.get(axis.name)} onStart={(event) => onBrushStart(event, axis)} isLast={i === shown.length - 1} />
            ))}
            {shownHover === null ? null : <HoverLine xs={xs} placed={placed} line={shownHover} />}
          </svg>
          {/* in the order before a drag: an element that is moved in the document loses the pointer */}
          {inOrder.map((axis) => (
            <button
              key={axis.name}
              type="button"
              className="parallel-name"
              data-metric={axis.isMetric || undefined}
              style={{ left: xs[shown.indexOf(axis)], maxWidth: Math.max(60, Math.min(gap - 6, 160)) || 160 }}
              title={`${axis.name}: click turns the axis upside down, dragging moves it`}
              aria-label={`Axis ${axis.name}${isFlipped(axis) ? ", upside down" : ""}: Enter turns it, arrow keys move it`}
              onKeyDown={(event) => {
                const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
                if (by === undefined) return;
                event.preventDefault();
                shift(axis.name, by);
              }}
              onPointerDown={(event) => {
                if (event.button !== 0) return;
                event.currentTarget.setPointerCapture(event.pointerId);
                setDrag({ kind: "axis", name: axis.name, x: home(inOrder.indexOf(axis)), from: event.clientX, far: false });
              }}
              onPointerMove={(event) => {
                const drag = held.current;
                if (drag?.kind !== "axis" || drag.name !== axis.name) return;
                const by = event.clientX - drag.from;
                if (drag.far || Math.abs(by) > 4) setDrag({ ...drag, x: home(inOrder.indexOf(axis)) + by, far: true });
              }}
              onPointerUp={() => {
                const drag = held.current;
                if (drag?.kind !== "axis") return;
                if (drag.far) onAxes(dropped(inOrder, drag.name, drag.x, gap).map((one) => one.name), flipped);
                setTimeout(() => setDrag(null)); // the click that follows is to know of it
              }}
              onPointerCancel={() => setDrag(null)}
              onClick={() => (held.current?.kind === "axis" && held.current.far) || flip(axis.name)}
            >
              <span>{axis.name}</span>
              <span aria-hidden="true">{isFlipped(axis) ? "↓" : "↑"}</span>
            </button>
          ))}
        </div>
      </div>
      <figcaption>
        <span className="ramp-key">
          worst <span className="ramp" style={{ background: `linear-gradient(to right, ${inks.best.map(css).join(", ")})` }} /> best {metric?.name}, by rank
        </span>
        {isBrushed ? (
          <span role="status">
            <span className="num">{chosen.length.toLocaleString("en")}</span> of {count(made.numbers.length, "result")} within the ranges{" "}
            <button type="button" className="link" onClick={() => commit(new Map())}>
              Clear
            </button>
          </span>
        ) : (
          <span className="note aimed">Drag along an axis to choose a range.</span>
        )}
        <span className="chart-hover num">{shownHover === null ? "" : `trial ${made.numbers[shownHover]}: ${shown.map((axis) => `${axis.name} ${plain(axis.values[shownHover]) || "–"}`).join(" · ")}`}</span>
      </figcaption>
      <Ranges axes={inOrder} brushes={stored} onChange={commit} />
    </figure>
  );
}

/** No more than so many of the lines, evenly picked. */
function thinned(lines: Uint32Array, most: number): Uint32Array {
  const every = Math.ceil(lines.length / most);
  return every > 1 ? lines.filter((_, i) => !(i % every)) : lines;
}

/** The axes as they are when one of them is dropped at `x`. */
function dropped(axes: readonly Axis[], name: string, x: number, gap: number): Axis[] {
  const names = moved(axes.map((axis) => axis.name), name, Math.round((x - SIDE) / (gap || 1)));
  return names.map((one) => axes.find((axis) => axis.name === one) as Axis);
}

/** The brushes with the one that is dragged. */
function brushed(axes: readonly Axis[], stored: ReadonlyMap<string, Brush>, drag: Drag | null): ReadonlyMap<string, Brush> {
  const axis = drag?.kind === "brush" ? axes.find((one) => one.name === drag.name) : undefined;
  if (!axis || drag?.kind !== "brush") return stored;
  const brush = between(axis, drag.from, drag.to);
  const all = new Map(stored);
  if (brush) all.set(axis.name, brush);
  else all.delete(axis.name);
  return all;
}

/** What of an axis lies between two places. */
function between(axis: Axis, from: number, to: number): Brush | null {
  if (axis.scale) return Math.abs(from - to) * HEIGHT < 3 ? null : range(axis.scale, from, to, axis.whole);
  const [a, b] = from < to ? [from, to] : [to, from];
  const reach = Math.min(0.5, 0.45 / Math.max(1, axis.options.length - 1));
  const options = axis.options.filter((_, i) => {
    const at = axis.marks[i]?.at ?? 0;
    return at >= a - reach && at <= b + reach;
  });
  return options.length && options.length < axis.options.length ? { options: options as NonNullable<Brush["options"]> } : null;
}

/** Where a brush begins and ends on its axis. */
function placesOf(axis: Axis, brush: Brush | undefined): [number, number] | null {
  if (!brush || !axis.scale) return null;
  const clip = (at: number): number => Math.max(0, Math.min(1, Number.isNaN(at) ? 0 : at));
  return [brush.low === undefined ? 0 : clip(place(axis.scale, brush.low)), brush.high === undefined ? 1 : clip(place(axis.scale, brush.high))];
}

function AxisMarks({ axis, x, y, brush, onStart, isLast }: { axis: Axis; x: number; y: (at: number) => number; brush: Brush | undefined; onStart: (event: React.PointerEvent) => void; isLast: boolean }) {
  const every = Math.ceil((axis.marks.length * 15) / HEIGHT);
  const ends = placesOf(axis, brush);
  const some = (brush?.options ?? []).map((option) => axis.marks[axis.options.indexOf(option)]?.at).filter((at) => at !== undefined);
  const bars: [number, number][] = ends ? [[y(ends[0]), y(ends[1])]] : some.map((at) => [y(at) - 7, y(at) + 7]);
  return (
    <g className="parallel-axis">
      <line x1={x} x2={x} y1={TOP} y2={TOP + HEIGHT} />
      {bars.map(([a, b], i) => (
        <rect key={i} className="parallel-brush" x={x - 5} width={10} y={Math.min(a, b)} height={Math.max(2, Math.abs(b - a))} rx={2} />
      ))}
      {axis.marks.map((mark, i) =>
        i % every ? null : (
          <g key={i}>
            <line x1={x - 3} x2={x + 3} y1={y(mark.at)} y2={y(mark.at)} />
            <text x={isLast ? x - 7 : x + 7} y={y(mark.at)} dy="0.35em" textAnchor={isLast ? "end" : "start"}>
              {mark.text.length > 14 ? `${mark.text.slice(0, 13)}…` : mark.text}
            </text>
          </g>
        ),
      )}
      {axis.brushable ? <rect className="parallel-strip" data-axis={axis.name} x={x - REACH} width={2 * REACH} y={TOP - 6} height={HEIGHT + 12} onPointerDown={onStart} onClick={(event) => event.stopPropagation()} /> : null}
    </g>
  );
}

function HoverLine({ xs, placed, line }: { xs: readonly number[]; placed: readonly Float32Array[]; line: number }) {
  const parts: string[] = [];
  let open = false;
  xs.forEach((x, i) => {
    const y = placed[i]?.[line] ?? NaN;
    if (!Number.isNaN(y)) parts.push(`${open ? "L" : "M"}${x} ${y}`);
    open = !Number.isNaN(y);
  });
  return <path className="parallel-hover" d={parts.join("")} />;
}

