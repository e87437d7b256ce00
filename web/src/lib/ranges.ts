/** The ranges of a sweep's parameters as texts, and its configuration with other ones. */
import { num } from "./format.ts";
import { isLog, parameter, place, scaleOf } from "./scale.ts";
import { typed, written } from "./typed.ts";

type Config = Record<string, unknown>;
/** By parameter and part: what stands in a field. */
export type Texts = Record<string, Record<string, string>>;

/** What of a parameter may be changed: its ends or its options. */
const PARTS = ["min", "max", "mu", "sigma", "values"] as const;
const NEAR_END = 0.04;

/** The parts of a parameter as they would be typed. */
export function asTexts(of: Record<string, unknown> | null): Record<string, string> {
  return Object.fromEntries(PARTS.flatMap((part) => (of && part in of ? [[part, part === "values" ? options(of[part]) : written(of[part])]] : [])));
}

/** Options in a line, as a list of JSON where commas alone would not tell them apart. */
function options(values: unknown): string {
  const all = Array.isArray(values) ? values : [];
  const line = all.map(written).join(", ");
  return all.every((value, i) => typed(line.split(",")[i]?.trim() ?? "") === value) && line.split(",").length === all.length ? line : JSON.stringify(all);
}

/** The configuration with what was written. What can't be read goes to the server as it is, which says what is wrong with it. */
export function withRanges(config: Config, texts: Texts, changed: readonly string[]): Config {
  const made = structuredClone(config);
  for (const name of changed) {
    const of = parameter(made, name);
    for (const [part, text] of Object.entries(texts[name] ?? {})) if (of) of[part] = part === "values" && !text.trim().startsWith("[") ? text.split(",").map((one) => typed(one.trim())) : typed(text.trim());
  }
  return made;
}

/** At which end of its range a value lies, if it does. */
export function atEnd(config: Config, name: string, value: unknown): { side: "lower" | "upper"; value: number } | null {
  const of = parameter(config, name);
  const [low, high, at] = [num(of?.["min"]), num(of?.["max"]), num(value)];
  if (low === null || high === null || at === null || !(low < high)) return null;
  const share = place(scaleOf([low, high], isLog(config, name)), at);
  return share <= NEAR_END ? { side: "lower", value: at } : share >= 1 - NEAR_END ? { side: "upper", value: at } : null;
}
