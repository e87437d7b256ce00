/** When a parameter exists (`when: {optimizer: sgd}`), and what a trial must keep (`limits: {latency_ms: {max: 20}}`), as rows of the form. */
import { isMap, isScalar, isSeq, Pair, Scalar, YAMLMap } from "yaml";
import { apart, changed, flowMap, item, keyOf, list, mapAt, meant, node, own, put, written } from "./document.ts";
import type { Row } from "./sheet.ts";

/** Another parameter, and the values of it with which this one exists; as they stand in a list. */
export interface Only {
  name: string;
  values: string[];
}

/** The conditions of a parameter; null: they are an expression that says more, or no rows can say them. */
export function onlyOf(when: unknown): Only[] | null {
  if (when === undefined) return [];
  if (isScalar(when) && typeof when.value === "string") return clauses(when.value);
  if (!isMap(when) || !when.items.length) return null;
  const made: Only[] = [];
  for (const pair of when.items) {
    const all = isSeq(pair.value) ? pair.value.items : [pair.value];
    if (!all.every((one) => isScalar(one))) return null;
    made.push({ name: keyOf(pair.key), values: all.map(item) });
  }
  return made;
}

const ESCAPE = String.raw`\\(?:['"\\nrt]|x[\da-fA-F]{2}|u[\da-fA-F]{4})`;
const TEXT = String.raw`'(?:[^'\\\n]|${ESCAPE})*'|"(?:[^"\\\n]|${ESCAPE})*"`;
const LITERAL = String.raw`(?:${TEXT}|[-+]?\d[\w.]*(?:[-+]\d+)?|True|False|None)`;
const CLAUSE = new RegExp(String.raw`^\s*(?:([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)|params\[(${TEXT})\])\s*(?:==\s*(${LITERAL})|\bin\s*\[\s*((?:${LITERAL}(?:\s*,\s*${LITERAL})*)?)\s*\])\s*(?:\band\b|$)`);

/** What an expression of nothing but `name == value` and `name in [values]` says, as a sweep keeps what a mapping said. */
function clauses(text: string): Only[] | null {
  const made: Only[] = [];
  for (let rest = text, open = true; open; ) {
    const found = CLAUSE.exec(rest);
    const name = found && (found[1] ?? said(found[2] ?? ""));
    if (typeof name !== "string" || !found || (found[1] && !isPlain(name)) || made.some((one) => one.name === name)) return null;
    const literals = (found[3] ?? found[4] ?? "").match(new RegExp(LITERAL, "g")) ?? [];
    if (literals.some((one) => /^[-+\d]/.test(one) && typeof valueOf(one) !== "number")) return null;
    made.push({ name, values: literals.map((one) => (/^[-+\d]/.test(one) ? one : item(new Scalar(said(one))))) });
    rest = rest.slice(found[0].length);
    open = found[0].trimEnd().endsWith("and");
  }
  return made;
}

const WORDS: Record<string, unknown> = { True: true, False: false, None: null };
const ESCAPED: Record<string, string> = { n: "\n", r: "\r", t: "\t" };
/** What a literal of Python's says. */
const said = (literal: string): unknown => (/^['"]/.test(literal) ? literal.slice(1, -1).replace(/\\(?:x(..)|u(....)|(.))/g, (_, x?: string, u?: string, one = "") => ((x ?? u) ? String.fromCharCode(Number.parseInt(x ?? u ?? "", 16)) : (ESCAPED[one] ?? one))) : WORDS[literal]);

/** The values that a text with commas between them has. */
export const valuesOf = (text: string): string[] => list(text).items.map(item);

/** What a value in a list means. */
function valueOf(text: string): unknown {
  const { items } = list(text);
  return items.length === 1 && isScalar(items[0]) ? items[0].value : text;
}

/** The values to choose from, and those of a condition that are none of them; `1.0` and `1` are the same. */
export function boxesOf(choices: string, values: readonly string[]): { text: string; isChosen: boolean }[] {
  const chosen = values.map(valueOf);
  const seen = new Set<unknown>();
  return [...valuesOf(choices), ...values].flatMap((text) => {
    const value = valueOf(text);
    if (seen.has(value)) return [];
    seen.add(value);
    return [{ text, isChosen: chosen.includes(value) }];
  });
}

/** Say with which values of others a parameter exists; none: always. */
export function putOnly(text: string, row: Row, only: readonly Only[]): string {
  return changed(text, (doc) => {
    const path = own(doc, ["parameters", ...row.path]);
    if (!only.length) {
      const old = meant(doc, doc.getIn(path, true));
      if (isMap(old) && old.has("when")) mapAt(doc, path).delete("when");
      return;
    }
    const map = mapAt(doc, path);
    const when = apart(doc, map.get("when", true)) ?? flowMap([]);
    const was = onlyOf(when) ?? [];
    when.items = only.map(({ name, values }) => {
      const at = was.findIndex((one) => one.name === name);
      if (at >= 0 && was[at]?.values.join() === values.join()) return when.items[at] as never;
      return pairOf({ name, values }) as never;
    });
    map.set("when", when);
  });
}

function pairOf({ name, values }: Only): Pair {
  const made = list(values.join(", "));
  return new Pair(new Scalar(name), made.items.length === 1 ? made.items[0] : made);
}

/** The parameter that a new condition is about, with a value of it: one with choices rather than another; null: there is none. */
export function proposed(row: Row, rows: readonly Row[]): Only | null {
  const free = rows.filter((one) => one.name !== row.name && !row.only?.some(({ name }) => name === one.name) && !one.only?.some(({ name }) => name === row.name));
  const found = free.find((one) => one.kind === "choice") ?? free[0];
  return found ? { name: found.name, values: first(found) } : null;
}

/** A value that a parameter may have. */
export const first = (row: Pick<Row, "kind" | "low" | "value">): string[] => valuesOf(row.kind === "float" || row.kind === "int" ? row.low : row.kind === "other" ? "" : row.value).slice(0, 1);

const KEYWORDS = new Set("False None True and as assert async await break class continue def del elif else except finally for from global if import in is lambda nonlocal not or pass raise return try while with yield".split(" "));
/** Whether a name stands in an expression as it is. */
const isPlain = (name: string): boolean => name.split(".").every((part) => /^[A-Za-z_]\w*$/.test(part) && !KEYWORDS.has(part));

/** A text in Python's quotes. */
const quoted = (text: string): string => `'${text.replace(/[\\']/g, "\\$&").replace(/[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]/g, escaped)}'`;
function escaped(one: string): string {
  const short = Object.keys(ESCAPED).find((letter) => ESCAPED[letter] === one);
  const code = one.charCodeAt(0).toString(16);
  return `\\${short ?? (code.length > 2 ? `u${code.padStart(4, "0")}` : `x${code.padStart(2, "0")}`)}`;
}

// A decimal number of YAML's that is one of Python's, in the same form.
const DECIMAL = /^[-+]?(?:0|[1-9]\d*|\d+\.\d*|\.\d+)(?:e[-+]?\d+)?$/i;

/** A value in Python's words. */
function literal(text: string): string {
  const value = valueOf(text);
  if (typeof value === "number") {
    if (!Number.isFinite(value)) return `float('${Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf"}')`;
    return DECIMAL.test(text) ? text : String(value);
  }
  return value === null ? "None" : typeof value === "boolean" ? (value ? "True" : "False") : quoted(String(value));
}

/** The same as an expression, in Python's words. */
export function expressionOf(only: readonly Only[]): string {
  const named = (name: string): string => (isPlain(name) ? name : `params[${quoted(name)}]`);
  return only.map(({ name, values }) => (values.length === 1 ? `${named(name)} == ${literal(values[0] as string)}` : `${named(name)} in [${values.map(literal).join(", ")}]`)).join(" and ");
}

/** Let the conditions on a parameter, of others and of groups, say its new name. */
export function renameConditions(parameters: unknown, from: string, to: string): void {
  if (!isMap(parameters)) return;
  for (const pair of parameters.items) {
    if (!isMap(pair.value)) continue;
    const when = pair.value.get("when", true) as unknown;
    const own = isMap(when) ? when.items.find((one) => keyOf(one.key) === from) : undefined;
    if (own) own.key = new Scalar(to);
    const said = isMap(when) ? null : onlyOf(when);
    if (said?.some((one) => one.name === from)) {
      const made = flowMap([]);
      made.items = said.map((one) => pairOf(one.name === from ? { ...one, name: to } : one)) as never;
      pair.value.set("when", made);
    }
    renameConditions(pair.value.get("parameters", true), from, to);
  }
}

// -- limits ---------------------------------------------------------------------------------------------------------

/** What a value that the trial reports must keep; bounds as they are written, "" where there is none. */
export interface LimitRow {
  name: string;
  low: string;
  high: string;
}

/** The limits of a file; null: no rows can say them. */
export function limitsOf(limits: unknown): LimitRow[] | null {
  if (limits === undefined || (isScalar(limits) && limits.value === null)) return [];
  if (!isMap(limits)) return null;
  const made: LimitRow[] = [];
  for (const { key, value } of limits.items) {
    if (!isMap(value) || value.items.some((pair) => !["min", "max"].includes(keyOf(pair.key)) || !isScalar(pair.value))) return null;
    made.push({ name: keyOf(key), low: written(value.get("min", true)), high: written(value.get("max", true)) });
  }
  return made;
}

/** The limit of a name: a key that is a number (`1:`) is found too. */
const limitOf = (limits: YAMLMap, name: string): Pair | undefined => limits.items.find((pair) => keyOf(pair.key) === name);

/** Add a limit without a bound, under a name that is free. */
export function addLimit(text: string): string {
  return withLimits(text, (limits) => {
    let number = 1;
    while (limitOf(limits, `limit_${number}`)) number += 1;
    limits.set(new Scalar(`limit_${number}`), flowMap([]));
  });
}

export function dropLimit(text: string, name: string): string {
  return withLimits(text, (limits) => void (limits.items = limits.items.filter((pair) => keyOf(pair.key) !== name)));
}

/** Give a limit another name; false: it is taken, or none. */
export function renamedLimit(text: string, from: string, typed: string): string | false {
  const name = typed.trim();
  let is = name !== "";
  const made = withLimits(text, (limits) => {
    const own = limitOf(limits, from);
    is &&= own !== undefined && !limitOf(limits, name);
    if (is && own) own.key = new Scalar(name);
  });
  return is && made;
}

/** Change a bound; "" leaves it out. */
export function putBound(text: string, name: string, bound: "min" | "max", typed: string): string {
  return withLimits(text, (limits) => {
    const own = limitOf(limits, name)?.value;
    if (!isMap(own)) return;
    if (typed.trim() === "") own.delete(bound);
    else own.set(bound, node(typed, "constant"));
  });
}

function withLimits(text: string, change: (limits: YAMLMap) => void): string {
  return changed(text, (_, top) => {
    const old = top.get("limits", true) as unknown;
    const limits = isMap(old) ? old : new YAMLMap();
    if (isScalar(old) && old.comment) limits.commentBefore = old.comment;
    change(limits as YAMLMap);
    if (!limits.items.length) top.delete("limits");
    else if (limits !== old) put(top, "limits", limits);
  });
}
