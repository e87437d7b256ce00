/** Where values lie between the ends of an axis, and which of them are worth a mark. */

export interface Scale {
  low: number;
  high: number;
  log: boolean;
}

/** The scale of these numbers; a single one gets room on both sides. */
export function scaleOf(values: readonly number[], log = false): Scale {
  const able = values.filter((value) => Number.isFinite(value) && (!log || value > 0));
  if (!able.length) return { low: log ? 0.1 : 0, high: 1, log };
  let low = Infinity;
  let high = -Infinity;
  for (const value of able) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low < high) return { low, high, log };
  return log ? { low: low / 2, high: high * 2, log } : { low: low - (Math.abs(low) / 2 || 0.5), high: high + (Math.abs(high) / 2 || 0.5), log };
}

/** 0 at the low end, 1 at the high one, NaN where there is no place. */
export function place({ low, high, log }: Scale, value: number): number {
  if (log) return value > 0 ? Math.log(value / low) / Math.log(high / low) : NaN;
  return (value / 2 - low / 2) / (high / 2 - low / 2); // halves: the span may be greater than any number
}

/** The value at a place. */
export function at({ low, high, log }: Scale, share: number): number {
  return log ? low * (high / low) ** share : low * (1 - share) + high * share;
}

/** Up to about `most` round values from end to end. */
export function ticks(scale: Scale, most: number): number[] {
  const { low, high, log } = scale;
  if (!(low < high)) return [low];
  if (log) {
    const first = Math.ceil(Math.log10(low) - 1e-9);
    const last = Math.floor(Math.log10(high) + 1e-9);
    if (last > first) {
      const every = Math.max(1, Math.ceil((last - first + 1) / Math.max(1, most)));
      return Array.from({ length: Math.floor((last - first) / every) + 1 }, (_, i) => Number(`1e${first + i * every}`));
    }
  }
  const raw = (high / 2 - low / 2) * (2 / Math.max(1, most));
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * unit).find((one) => one >= raw * 0.999) ?? raw;
  const from = Math.ceil(low / step - 1e-9);
  const to = Math.min(Math.floor(high / step + 1e-9), from + 4 * most);
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => Number(((from + i) * step).toPrecision(12)));
}

/** Whether a sweep's configuration has the parameter on a logarithmic scale. */
export function isLog(config: Record<string, unknown>, name: string): boolean {
  const found = parameter(config, name);
  return typeof found?.["distribution"] === "string" && found["distribution"].includes("log");
}

/** What a sweep's configuration says of a parameter, whose name has dots where it is nested. */
export function parameter(config: Record<string, unknown>, name: string): Record<string, unknown> | null {
  const look = (parameters: unknown, rest: string): Record<string, unknown> | null => {
    if (!isMapping(parameters)) return null;
    const whole = parameters[rest];
    if (isMapping(whole)) return whole;
    for (const [key, inner] of Object.entries(parameters)) {
      if (!rest.startsWith(`${key}.`) || !isMapping(inner)) continue;
      const found = look(inner["parameters"], rest.slice(key.length + 1));
      if (found) return found;
    }
    return null;
  };
  return look(config["parameters"], name);
}

const isMapping = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
