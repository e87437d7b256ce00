/** Many thin lines at once, drawn into memory: a canvas of its own strokes ten thousand lines ten times as slowly. */

export interface Picture {
  /** Row by row, as a canvas has them: 0xAABBGGRR. */
  pixels: Uint32Array;
  width: number;
  height: number;
}

export const picture = (width: number, height: number): Picture => ({ pixels: new Uint32Array(width * height), width, height });

export const packed = ([r, g, b]: readonly [number, number, number]): number => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;

export interface Lines {
  /** Where the axes stand, in pixels from the left, ascending. */
  xs: readonly number[];
  /** By axis and line, in pixels from the top; NaN: the line has a gap there. */
  ys: readonly Float32Array[];
  /** Which lines, in this order: the last is on top. */
  which: ArrayLike<number>;
  /** The colour of each line, packed; one for all, where it is a number. */
  colours: Uint32Array | number;
  /** How much each line covers what is below, 0 to 1. */
  alpha: number;
  /** Edges are smooth, at twice the cost. */
  smooth: boolean;
}

/** Draw lines onto an opaque picture; what lies outside of it is left out. */
export function draw(onto: Picture, { xs, ys, which, colours, alpha, smooth }: Lines): void {
  const cover = Math.max(1, Math.min(256, Math.round(alpha * 256)));
  for (let n = 0; n < which.length; n += 1) {
    const line = which[n] as number;
    const colour = typeof colours === "number" ? colours : (colours[line] as number);
    for (let i = 1; i < xs.length; i += 1) {
      const y0 = ys[i - 1]?.[line] as number;
      const y1 = ys[i]?.[line] as number;
      if (y0 === y0 && y1 === y1) segment(onto, xs[i - 1] as number, y0, xs[i] as number, y1, colour, cover, smooth);
    }
  }
}

const RB = 0xff00ff;
const G = 0x00ff00;

function segment({ pixels, width, height }: Picture, x0: number, y0: number, x1: number, y1: number, colour: number, cover: number, smooth: boolean): void {
  const rb = colour & RB;
  const g = colour & G;
  const steep = Math.abs(y1 - y0) > Math.abs(x1 - x0);
  // One pixel a step along the longer side; `other` is where it is across.
  let [from, to, start, end] = steep ? [y0, y1, x0, x1] : [x0, x1, y0, y1];
  if (from > to) [from, to, start, end] = [to, from, end, start];
  const first = Math.max(0, Math.round(from));
  const last = Math.min((steep ? height : width) - 1, Math.round(to));
  const slope = to > from ? (end - start) / (to - from) : 0;
  const [along, across, most] = steep ? [width, 1, width - 1] : [1, width, height - 1];
  let other = start + slope * (first - from);
  for (let i = first; i <= last; i += 1, other += slope) {
    if (smooth) {
      const low = Math.floor(other);
      const part = ((other - low) * cover) | 0;
      if (low >= 0 && low <= most) {
        const at = i * along + low * across;
        const below = pixels[at] as number;
        const a = cover - part;
        pixels[at] = 0xff000000 | (((Math.imul(below & RB, 256 - a) + Math.imul(rb, a)) >>> 8) & RB) | (((Math.imul(below & G, 256 - a) + Math.imul(g, a)) >>> 8) & G);
      }
      if (low + 1 >= 0 && low + 1 <= most) {
        const at = i * along + (low + 1) * across;
        const below = pixels[at] as number;
        pixels[at] = 0xff000000 | (((Math.imul(below & RB, 256 - part) + Math.imul(rb, part)) >>> 8) & RB) | (((Math.imul(below & G, 256 - part) + Math.imul(g, part)) >>> 8) & G);
      }
    } else {
      const low = (other + 0.5) | 0;
      if (low < 0 || low > most) continue;
      const at = i * along + low * across;
      const below = pixels[at] as number;
      pixels[at] = 0xff000000 | (((Math.imul(below & RB, 256 - cover) + Math.imul(rb, cover)) >>> 8) & RB) | (((Math.imul(below & G, 256 - cover) + Math.imul(g, cover)) >>> 8) & G);
    }
  }
}

/** How much a line covers where there are `count`: few are clear, many show where they are dense. */
export const alphaOf = (count: number): number => Math.min(0.9, Math.max(0.12, 16 / Math.sqrt(Math.max(1, count))));
