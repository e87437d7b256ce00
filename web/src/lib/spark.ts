/** The path of a line of steps in a box: the least value at its foot, the greatest at its head. */
export function sparkPath(values: readonly number[], width: number, height: number): string {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const y = (value: number): number => (low < high ? height - 2 - ((value / 2 - low / 2) / (high / 2 - low / 2)) * (height - 4) : height / 2);
  const step = width / Math.max(1, values.length);
  return values.map((value, i) => `${i ? `V${round(y(value))}` : `M0 ${round(y(value))}`}H${round((i + 1) * step)}`).join("");
}

const round = (value: number): number => Math.round(value * 10) / 10;
