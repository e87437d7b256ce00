/** The path of a line of steps in a box: from its first point to the end, the least value at its foot, the greatest at its head. */
export function sparkPath(points: readonly (readonly [number, number])[], end: number, width: number, height: number): string {
  const values = points.map(([, value]) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const y = (value: number): string => round(low < high ? height - 2 - ((value / 2 - low / 2) / (high / 2 - low / 2)) * (height - 4) : height / 2);
  const x = (place: number): string => round((place / Math.max(1, end)) * width);
  return `${points.map(([place, value], i) => (i ? `H${x(place)}V${y(value)}` : `M${x(place)} ${y(value)}`)).join("")}H${width}`;
}

const round = (value: number): string => String(Math.round(value * 10) / 10);
