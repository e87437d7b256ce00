/** What was meant by a text that somebody typed for a parameter: `0.1`, `1e-3`, `true`, `[1, 2]`, `"8"`, or itself. */
export function typed(text: string): unknown {
  const bare = text.trim();
  if (/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(bare)) return Number(bare);
  try {
    return JSON.parse(bare);
  } catch {
    return text;
  }
}

/** A parameter's value as it would be typed. */
export const written = (value: unknown): string => (typeof value === "string" && typed(value) === value ? value : JSON.stringify(value));
