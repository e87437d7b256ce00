/** Colours for values from bad to good, mixed of a few that are given. */

export type Rgb = readonly [number, number, number];

/** `#rrggbb` or `#rgb` as numbers. */
export function rgb(hex: string): Rgb {
  const digits = hex.replace("#", "");
  const number = Number.parseInt(digits.length === 3 ? digits.replace(/./g, "$&$&") : digits, 16);
  return [(number >> 16) & 255, (number >> 8) & 255, number & 255];
}

/** The colour at a place from 0 to 1 of a row of colours. */
export function ramp(colours: readonly Rgb[], share: number): Rgb {
  const last = colours.length - 1;
  const at = Math.min(1, Math.max(0, share)) * last;
  const i = Math.min(last - 1, Math.floor(at));
  const [one, other, part] = [colours[i] as Rgb, colours[i + 1] as Rgb, at - i];
  return [0, 1, 2].map((c) => Math.round((one[c] as number) + ((other[c] as number) - (one[c] as number)) * part)) as unknown as Rgb;
}

export const css = ([r, g, b]: Rgb): string => `rgb(${r} ${g} ${b})`;

/** From 0, the worst, to 1, the best: each value's place among all, so that a few that are far off don't take the colours. NaN has none. */
export function standing(values: readonly number[], maximize: boolean): Float32Array {
  const order = values.map((_, i) => i).filter((i) => Number.isFinite(values[i]));
  order.sort((a, b) => ((values[b] as number) - (values[a] as number)) * (maximize ? -1 : 1));
  const out = new Float32Array(values.length).fill(NaN);
  let from = 0;
  while (from < order.length) {
    let to = from;
    while (to + 1 < order.length && values[order[to + 1] as number] === values[order[from] as number]) to += 1;
    for (let i = from; i <= to; i += 1) out[order[i] as number] = order.length > 1 ? (from + to) / 2 / (order.length - 1) : 1;
    from = to + 1;
  }
  return out;
}
