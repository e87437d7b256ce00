/** A canvas in the page's colours with two axes: for charts that are no curves over steps. */
import { useLayoutEffect, useRef } from "react";
import { short } from "../lib/format.ts";
import { place, type Scale, ticks } from "../lib/scale.ts";
import { drawSoon, usePalette } from "../lib/theme.ts";
import { type Colours, colours } from "./Plot.tsx";
import { useWidth } from "./width.ts";

/** An axis of numbers, or of options that stand side by side. */
export interface Side {
  label?: string;
  scale?: Scale;
  options?: readonly string[];
  /** What is written at a mark. */
  text?: (value: number) => string;
}

export interface Frame {
  ctx: CanvasRenderingContext2D;
  c: Colours;
  left: number;
  top: number;
  right: number;
  bottom: number;
  /** Pixels of a value; of an option its number. */
  x: (value: number) => number;
  y: (value: number) => number;
}

interface Props {
  x: Side;
  y: Side;
  height: number;
  label: string;
  draw: (frame: Frame) => void;
  /** What is under the pointer; null: it left. */
  onMove?: (at: { px: number; py: number; frame: Frame } | null) => void;
  onClick?: () => void;
}

const FONT = "12px system-ui, sans-serif";

export function Sketch({ x, y, height, label, draw, onMove, onClick }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const frame = useRef<Frame>(null);
  const width = useWidth(box);
  usePalette(); // drawn anew when the colours change
  useLayoutEffect(() => {
    const ctx = canvas.current?.getContext("2d");
    if (!canvas.current || !ctx || !width) return;
    return drawSoon(() => {
      const fine = devicePixelRatio || 1;
      const place = canvas.current as HTMLCanvasElement;
      [place.width, place.height] = [Math.round(width * fine), Math.round(height * fine)];
      ctx.setTransform(fine, 0, 0, fine, 0, 0);
      frame.current = framed(ctx, x, y, width, height);
      draw(frame.current);
    });
  });
  return (
    <div ref={box} className="sketch" style={{ minHeight: height }}>
      <canvas
        ref={canvas}
        role="img"
        aria-label={label}
        style={{ width: width || "100%", height }}
        onPointerMove={(event) => {
          const at = event.currentTarget.getBoundingClientRect();
          if (frame.current) onMove?.({ px: event.clientX - at.left, py: event.clientY - at.top, frame: frame.current });
        }}
        onPointerLeave={() => onMove?.(null)}
        onClick={onClick}
      />
    </div>
  );
}

function framed(ctx: CanvasRenderingContext2D, x: Side, y: Side, width: number, height: number): Frame {
  const c = colours();
  ctx.font = FONT;
  const fit = (text: string, most: number): string => {
    if (ctx.measureText(text).width <= most) return text;
    let kept = text;
    while (kept.length > 1 && ctx.measureText(`${kept}…`).width > most) kept = kept.slice(0, -1);
    return `${kept}…`;
  };
  const marks = (side: Side, most: number): { value: number; text: string }[] => (side.options ? side.options.map((text, value) => ({ value, text })) : side.scale ? ticks(side.scale, most).map((value) => ({ value, text: (side.text ?? short)(value) })) : []);
  const ys = marks(y, Math.max(2, Math.floor(height / 60)));
  const wide = Math.min(width / 3, Math.max(16, ...ys.map(({ text }) => ctx.measureText(text).width)));
  const [left, top, right, bottom] = [wide + 12, y.label ? 22 : 8, width - 12, height - (x.label ? 40 : 22)];
  const share = (side: Side, value: number): number => (side.options ? (value + 0.5) / Math.max(1, side.options.length) : side.scale ? place(side.scale, value) : 0);
  const px = (value: number): number => left + share(x, value) * (right - left);
  const py = (value: number): number => bottom - share(y, value) * (bottom - top);
  ctx.clearRect(0, 0, width, height);
  ctx.lineWidth = 1;
  ctx.strokeStyle = c.line;
  ctx.fillStyle = c.ink3;
  ctx.textBaseline = "middle";
  ctx.textAlign = "right";
  const rare = Math.max(1, Math.ceil((ys.length * 15) / (bottom - top)));
  ys.forEach(({ value, text }, i) => {
    if (i % rare) return;
    ctx.beginPath();
    ctx.moveTo(left, py(value));
    ctx.lineTo(right, py(value));
    if (!y.options) ctx.stroke();
    ctx.fillText(fit(text, wide), left - 7, py(value));
  });
  ctx.textAlign = "center";
  const xs = marks(x, Math.max(2, Math.floor((right - left) / 80)));
  let end = -Infinity;
  xs.forEach(({ value, text }) => {
    const shown = fit(text, x.options ? Math.max(24, (right - left) / xs.length - 4) : 90);
    const half = ctx.measureText(shown).width / 2;
    const at = Math.min(right + 10 - half, Math.max(half, px(value)));
    if (at - half < end + 6) return;
    end = at + half;
    ctx.fillText(shown, at, bottom + 12);
  });
  ctx.fillStyle = c.ink2;
  if (x.label) ctx.fillText(fit(x.label, right - left), (left + right) / 2, bottom + 30);
  ctx.textAlign = "left";
  if (y.label) ctx.fillText(fit(y.label, width - 8), 0, 8);
  return { ctx, c, left, top, right, bottom, x: px, y: py };
}
