/** The ranges of a sweep's parameters as texts, and what was changed of them. */
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

/** What was changed, as it is meant, by parameter and part. What can't be read goes to the server as it is, which says what is wrong with it. */
export function partsOf(config: Config, texts: Texts): Record<string, Record<string, unknown>> {
  const read = (part: string, text: string): unknown => (part === "values" && !text.trim().startsWith("[") ? text.split(",").map((one) => typed(one.trim())) : typed(text.trim()));
  return Object.fromEntries(
    Object.entries(texts).flatMap(([name, parts]) => {
      const was = asTexts(parameter(config, name));
      const changed = Object.entries(parts).filter(([part, text]) => text !== was[part]);
      return changed.length ? [[name, Object.fromEntries(changed.map(([part, text]) => [part, read(part, text)]))]] : [];
    }),
  );
}

/** At which end of its range a value lies, if it does. */
export function atEnd(config: Config, name: string, value: unknown): { side: "lower" | "upper"; value: number } | null {
  const of = parameter(config, name);
  const [low, high, at] = [num(of?.["min"]), num(of?.["max"]), num(value)];
  if (low === null || high === null || at === null || !(low < high)) return null;
  const share = place(scaleOf([low, high], isLog(config, name)), at);
  return share <= NEAR_END ? { side: "lower", value: at } : share >= 1 - NEAR_END ? { side: "upper", value: at } : null;
}
