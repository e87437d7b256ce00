/** Ranges of axes as parts of a filter, and back: what is brushed is in the address, as a filter that people can read and write. */
import { num } from "./format.ts";
import { written } from "./filter.ts";
import { at, type Scale } from "./scale.ts";

export type Plain = string | number | boolean | null;

/** What of an axis is wanted: numbers from `low` to `high`, both included, or some of its options. */
export interface Brush {
  low?: number;
  high?: number;
  options?: Plain[];
}

/** What a filter calls an axis; the first name is the one that is written. */
export interface Named {
  name: string;
  columns: readonly string[];
}

export const columnsOf = (name: string, metric: "first" | "other" | null): string[] =>
  metric === "first" ? ["value"] : metric === "other" ? [written("metrics", name)] : [written("params", name), written("config", name)];

export const isPlain = (value: unknown): value is Plain => value === null || ["string", "number", "boolean"].includes(typeof value);

/** The part of a filter that says the same as a brush. */
export function said(column: string, brush: Brush): string {
  if (brush.options) return `${column} in [${brush.options.map(literal).join(", ")}]`;
  const { low, high } = brush;
  if (low !== undefined && high !== undefined) return `${low} <= ${column} <= ${high}`;
  return low !== undefined ? `${column} >= ${low}` : `${column} <= ${high}`;
}

/** The brushes that a filter says, by the names of axes, and what else it says. */
export function read(filter: string, axes: readonly Named[]): { brushes: Map<string, Brush>; rest: string } {
  const brushes = new Map<string, Brush>();
  const rest: string[] = [];
  for (const part of conjuncts(filter)) {
    const found = one(part.trim(), axes);
    if (found && !brushes.has(found[0])) brushes.set(...found);
    else if (part.trim()) rest.push(part.trim());
  }
  return { brushes, rest: rest.join(" and ") };
}

/** The filter with these brushes in the place of those that it had. */
export function write(filter: string, axes: readonly Named[], brushes: ReadonlyMap<string, Brush>): string {
  const { rest } = read(filter, axes);
  const parts = axes.flatMap(({ name, columns }) => {
    const brush = brushes.get(name);
    return brush ? [said(columns[0] as string, brush)] : [];
  });
  if (!rest) return parts.join(" and ");
  return parts.length ? [hasOr(rest) ? `(${rest})` : rest, ...parts].join(" and ") : rest;
}

/** Whether a value lies within a brush. */
export function holds(brush: Brush, value: unknown): boolean {
  if (brush.options) return brush.options.some((option) => same(option, value));
  const number = typeof value === "boolean" ? Number(value) : num(value);
  return number !== null && number >= (brush.low ?? -Infinity) && number <= (brush.high ?? Infinity) && Number.isFinite(number);
}

const same = (one: Plain, other: unknown): boolean => one === other || (typeof one !== "string" && typeof other !== "string" && one !== null && other !== null && Number(one) === Number(other));

/**
 * The range between two places of an axis, in round numbers.
 *
 * An end at the end of the axis is open. Whole numbers stay whole; null: that is everything.
 */
export function range(scale: Scale, from: number, to: number, whole: boolean): Brush | null {
  const [a, b] = from < to ? [from, to] : [to, from];
  const brush: Brush = {};
  const near = 0.004;
  if (a > near) brush.low = whole ? Math.ceil(at(scale, a) - 1e-9) : round(scale, a);
  if (b < 1 - near) brush.high = whole ? Math.floor(at(scale, b) + 1e-9) : round(scale, b);
  if (brush.low !== undefined && brush.high !== undefined && brush.low > brush.high) brush.high = brush.low = Math.round(at(scale, (a + b) / 2)); // between two whole numbers
  return brush.low === undefined && brush.high === undefined ? null : brush;
}

/** The value at a place of an axis, in digits that tell a thousandth of the axis there. */
function round(scale: Scale, where: number): number {
  const value = at(scale, where);
  const step = 10 ** Math.floor(Math.log10(Math.abs(at(scale, where + 0.0005) - at(scale, where - 0.0005))));
  return Number.isFinite(step) && step > 0 ? Number((Math.round(value / step) * step).toPrecision(12)) : value;
}

/** A value as the language of filters writes it. */
function literal(value: Plain): string {
  return value === null ? "None" : value === true ? "True" : value === false ? "False" : JSON.stringify(value);
}

const NUMBER = String.raw`-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?`;
const BETWEEN = new RegExp(`^(${NUMBER})\\s*<=\\s*(.+?)\\s*<=\\s*(${NUMBER})$`);
const ONE_SIDE = new RegExp(`^(.+?)\\s*(<=|>=)\\s*(${NUMBER})$`);
const AMONG = /^(.+?)\s+in\s+\[(.*)\]$/;

function one(part: string, axes: readonly Named[]): [string, Brush] | null {
  const axis = (column: string | undefined): string | undefined => axes.find(({ columns }) => columns.includes(column ?? ""))?.name;
  const between = BETWEEN.exec(part);
  if (between) {
    const name = axis(between[2]);
    return name === undefined ? null : [name, { low: Number(between[1]), high: Number(between[3]) }];
  }
  const side = ONE_SIDE.exec(part);
  if (side) {
    const name = axis(side[1]);
    return name === undefined ? null : [name, side[2] === ">=" ? { low: Number(side[3]) } : { high: Number(side[3]) }];
  }
  const among = AMONG.exec(part);
  const name = axis(among?.[1]);
  if (!among || name === undefined) return null;
  const options = list(among[2] as string);
  return options && [name, { options }];
}

function list(text: string): Plain[] | null {
  try {
    const made: unknown = JSON.parse(`[${outside(text, (piece) => piece.replaceAll("None", "null").replaceAll("True", "true").replaceAll("False", "false"))}]`);
    return Array.isArray(made) && made.every(isPlain) ? made : null;
  } catch {
    return null;
  }
}

/** Change what of a text stands outside of double quotes. */
function outside(text: string, change: (piece: string) => string): string {
  return text.replace(/"(?:[^"\\]|\\.)*"|[^"]+/g, (piece) => (piece.startsWith('"') ? piece : change(piece)));
}

/** The parts between the outermost `and`s; all of it as one where an `or` stands beside them. */
function conjuncts(filter: string): string[] {
  if (hasOr(filter)) return [filter];
  return parts(filter, "and");
}

const hasOr = (filter: string): boolean => parts(filter, "or").length > 1;

function parts(filter: string, word: string): string[] {
  const out: string[] = [];
  let depth = 0;
  let quote = "";
  let from = 0;
  for (let i = 0; i < filter.length; i += 1) {
    const letter = filter[i] as string;
    if (quote) {
      if (letter === "\\") i += 1;
      else if (letter === quote) quote = "";
    } else if (letter === '"' || letter === "'") quote = letter;
    else if ("([".includes(letter)) depth += 1;
    else if (")]".includes(letter)) depth -= 1;
    else if (depth === 0 && filter.startsWith(word, i) && !/[\w.]/.test(filter[i - 1] ?? " ") && !/\w/.test(filter[i + word.length] ?? " ")) {
      out.push(filter.slice(from, i));
      from = i + word.length;
      i = from - 1;
    }
  }
  return [...out, filter.slice(from)];
}
