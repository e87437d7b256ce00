/** A sweep file as its form sees it: read from the YAML, and changed in it so that all else (comments, order, keys that no form knows) stays. */
import { type Document, isMap, isScalar, isSeq, Scalar, YAMLMap, YAMLSeq } from "yaml";
import { type LimitRow, limitsOf, type Only, onlyOf, renameConditions } from "./conditions.ts";
import { apart, changed, flow, flowMap, item, keyOf, knobs as knobsOf, list, mapAt, meant, node, opened, own, pairs, put, written } from "./document.ts";

export type Kind = "float" | "int" | "choice" | "constant" | "other";

/** A parameter; bounds and values are texts, as they are written. */
export interface Row {
  /** With dots, where it stands in groups. */
  name: string;
  /** Its keys in the file. */
  path: string[];
  kind: Kind;
  low: string;
  high: string;
  log: boolean;
  step: string;
  /** Choices with commas between them, a constant, or whatever else it is. */
  value: string;
  when: string;
  /** The same as rows; null: no rows can say it. */
  only: Only[] | null;
  /** What is believed to be good. */
  good: string;
}

export interface MetricRow {
  name: string;
  goal: "minimize" | "maximize";
}

/** Everything that the form shows. */
export interface Sheet {
  name: string;
  project: string;
  description: string;
  program: string;
  command: string;
  method: string;
  methodKnobs: string;
  stopper: string;
  stopperKnobs: string;
  cap: string;
  seed: string;
  metrics: MetricRow[];
  /** null: they are kept as they are. */
  limits: LimitRow[] | null;
  rows: Row[];
  /** Keys of the file that the form does not show. */
  others: string[];
}

export type TextKey = "name" | "project" | "description" | "program" | "command" | "run_cap" | "seed";

const SHOWN = new Set(["name", "project", "description", "program", "command", "method", "metric", "metrics", "parameters", "early_terminate", "run_cap", "seed", "nested"]);

/** What the form shows of a text; a text: why it can't. */
export function read(text: string): Sheet | string {
  const doc = opened(text);
  if (typeof doc === "string") return doc;
  const top = isMap(doc.contents) ? doc.contents : new YAMLMap();
  const [method, methodKnobs] = plugin(top.get("method", true), "name");
  const [stopper, stopperKnobs] = plugin(top.get("early_terminate", true), "type");
  const prior = isMap(top.get("method", true)) ? (top.get("method", true) as unknown as YAMLMap).get("prior", true) : undefined;
  const limits = limitsOf(top.get("limits", true));
  const word = (key: string): string => written(top.get(key, true));
  return {
    name: word("name"), project: word("project"), description: word("description"), program: word("program"), command: commandOf(top.get("command", true)),
    method: method || "bayes", methodKnobs, stopper, stopperKnobs, cap: word("run_cap"), seed: word("seed"),
    metrics: metricsOf(top), limits, rows: rowsOf(doc, top.get("parameters", true), [], "", prior),
    others: top.items.map((pair) => String(isScalar(pair.key) ? pair.key.value : pair.key)).filter((key) => !SHOWN.has(key) && !(key === "limits" && limits)),
  };
}

function plugin(node: unknown, key: string): [string, string] {
  if (isMap(node)) return [written(node.get(key, true)), pairs(node, [key, "prior"])];
  return [written(node), ""];
}

function commandOf(node: unknown): string {
  if (!isSeq(node)) return written(node);
  return node.items.map((one) => written(one)).map((word) => (/^[\w@%+=:,./${}-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(" ");
}

function metricsOf(top: YAMLMap): MetricRow[] {
  const several = top.get("metrics", true);
  const one = top.get("metric", true);
  const nodes: unknown[] = isSeq(several) ? several.items : one === undefined ? [] : [one];
  return nodes.map((node) => (isMap(node) ? { name: written(node.get("name", true)), goal: written(node.get("goal", true)) === "maximize" ? "maximize" : "minimize" } : { name: written(node), goal: "minimize" }));
}

function rowsOf(doc: Document, node: unknown, path: string[], head: string, prior: unknown): Row[] {
  if (!isMap(node)) return [];
  return node.items.flatMap((pair): Row[] => {
    const key = keyOf(pair.key);
    const here = [...path, key];
    const name = head + key;
    const inner = isMap(pair.value) ? pair.value.get("parameters", true) : undefined;
    if (isMap(inner)) return rowsOf(doc, inner, [...here, "parameters"], `${name}.`, prior);
    const believed = isMap(prior) ? prior.get(name, true) : undefined;
    const own = meant(doc, pair.value);
    const when = isMap(own) ? meant(doc, own.get("when", true)) : undefined;
    return [{ ...rowOf(pair.value), when: isMap(own) ? written(when) : "", only: onlyOf(when), name, path: here, good: isMap(believed) ? written(believed.get("value", true)) : written(believed) }];
  });
}

const WHOLE = /^[-+]?\d[\d_]*$/;
const PLAIN = new Set(["min", "max", "log", "step", "when", "distribution"]);
const RANGES = new Set(["", "uniform", "int_uniform", "log_uniform_values", "log_uniform"]);

function rowOf(node: unknown): Omit<Row, "name" | "path" | "good" | "only" | "when"> {
  const row = { kind: "other" as Kind, low: "", high: "", log: false, step: "", value: "" };
  if (isScalar(node)) return node.value === null ? { ...row, value: "" } : { ...row, kind: "constant", value: item(node) };
  if (isSeq(node)) return { ...row, kind: "choice", value: node.items.map(item).join(", ") };
  if (!isMap(node)) return { ...row, value: flow(node) };
  const keys = node.items.map((pair) => keyOf(pair.key));
  const said = written(node.get("distribution", true));
  const values = node.get("values", true);
  if (isSeq(values)) return { ...row, kind: "choice", value: values.items.map(item).join(", ") };
  if (keys.includes("value") && keys.every((key) => key === "value" || key === "when" || key === "distribution")) return { ...row, kind: "constant", value: item(node.get("value", true)) };
  const low = written(node.get("min", true));
  const high = written(node.get("max", true));
  const isExponent = said === "log_uniform" && !(Number(low) > 0);
  if ((keys.includes("min") || keys.includes("max")) && keys.every((key) => PLAIN.has(key)) && RANGES.has(said) && !isExponent) {
    const log = written(node.get("log", true)).toLowerCase() === "true" || said.startsWith("log_");
    const kind = (said === "" || said === "int_uniform") && WHOLE.test(low || high) && WHOLE.test(high || low) ? "int" : "float";
    return { ...row, kind, low, high, log, step: written(node.get("step", true)) };
  }
  return { ...row, value: pairs(node, ["when"]) };
}

// -- changing it ---------------------------------------------------------------------------------------------------

/** Change one of the keys at the top; "" leaves it out. */
export function putText(text: string, key: TextKey, typed: string): string {
  return changed(text, (_, top) => {
    if (typed.trim() === "") top.delete(key);
    else put(top, key, node(typed, key === "run_cap" || key === "seed" ? "int" : "text"));
  });
}

/** Choose a method; of its knobs those stay that the new one has. */
export function putMethod(text: string, name: string, knobs: readonly string[]): string {
  return changed(text, (_, top) => setPlugin(top, "method", "name", name, (knob) => knobs.includes(knob)));
}

/** Choose a stopper, or none. */
export function putStopper(text: string, name: string, knobs: readonly string[]): string {
  return changed(text, (_, top) => {
    if (name === "") top.delete("early_terminate");
    else setPlugin(top, "early_terminate", "type", name, (knob) => knobs.includes(knob));
  });
}

function setPlugin(top: YAMLMap, key: string, label: string, name: string, keeps: (knob: string) => boolean): void {
  const old = top.get(key, true) as unknown;
  if (!isMap(old)) {
    put(top, key, new Scalar(name));
    return;
  }
  old.items = old.items.filter((pair) => keyOf(pair.key) === label || keeps(keyOf(pair.key)));
  if (old.items.length > 1) old.set(label, new Scalar(name));
  else put(top, key, new Scalar(name));
}

/** Write the knobs of the method or the stopper, `population: 10, factor: 1.2`; false: it can't be read. */
export function putKnobs(text: string, key: "method" | "early_terminate", typed: string): string | false {
  const knobs = knobsOf(typed);
  if (!knobs) return false;
  const label = key === "method" ? "name" : "type";
  return changed(text, (_, top) => {
    const old = top.get(key, true) as unknown;
    const before = (isMap(old) ? old.get(label, true) : old) as unknown;
    const name = new Scalar(isScalar(before) ? before.value : "bayes");
    const prior = isMap(old) ? old.items.find((pair) => keyOf(pair.key) === "prior") : undefined;
    const items = knobs.items.filter((pair) => keyOf(pair.key) !== label);
    if (!items.length && !prior) put(top, key, name);
    else {
      const map = flowMap([[label, name]]);
      map.items.push(...(items as never[]), ...(prior ? [prior as never] : []));
      if (prior) map.flow = false;
      else if (isScalar(before) && before.comment) map.comment = before.comment;
      put(top, key, map);
    }
  });
}

/** Write the metrics: one stands under `metric`, several under `metrics`; what else is said of each stays. */
export function putMetrics(text: string, rows: readonly (MetricRow & { from?: number })[]): string {
  return changed(text, (_, top) => {
    const several = top.get("metrics", true) as unknown;
    const one = top.get("metric", true) as unknown;
    const old: unknown[] = isSeq(several) ? several.items : one === undefined ? [] : [one];
    const made = rows.map((row) => {
      const before = row.from === undefined ? undefined : old[row.from];
      const map = isMap(before) ? before : flowMap([]);
      map.set("name", new Scalar(row.name));
      map.set("goal", new Scalar(row.goal));
      return map;
    });
    if (made.length === 1) {
      top.delete("metrics");
      put(top, "metric", made[0]);
    } else {
      top.delete("metric");
      const seq = new YAMLSeq();
      seq.items = made;
      put(top, "metrics", seq);
    }
  });
}

const isNumber = (text: string): boolean => text.trim() !== "" && Number.isFinite(Number(text.replaceAll("_", "")));

/** Change a part of a parameter that keeps its kind. */
export function putPart(text: string, row: Row, part: "low" | "high" | "step" | "value" | "when" | "log", typed: string): string {
  return changed(text, (doc) => {
    const path = own(doc, ["parameters", ...row.path]);
    const old = doc.getIn(path, true);
    if (part === "value" && !isMap(old)) {
      doc.setIn(path, row.kind === "choice" ? list(typed) : node(typed, "constant"));
      return;
    }
    const map = mapAt(doc, path);
    if (part === "value") map.set(row.kind === "choice" ? "values" : "value", row.kind === "choice" ? list(typed) : node(typed, "constant"));
    else if (part === "log") {
      map.delete("distribution");
      if (typed) map.set("log", new Scalar(true));
      else map.delete("log");
    } else {
      const key = part === "low" ? "min" : part === "high" ? "max" : part;
      if (typed.trim() === "") map.delete(key);
      else map.set(key, node(typed, part === "when" ? "text" : row.kind));
    }
  });
}

/** Make a parameter one of another kind; what fits is kept. */
export function putKind(text: string, row: Row, kind: Kind): string {
  if (kind === row.kind || kind === "other") return text;
  return changed(text, (doc) => {
    const path = own(doc, ["parameters", ...row.path]);
    const old = doc.getIn(path, true);
    const before = meant(doc, old);
    const when: [string, unknown][] = isMap(before) && before.has("when") ? [["when", before === old ? before.get("when", true) : (apart(doc, before.get("when", true)) ?? before.get("when"))]] : [];
    const was = (row.kind === "float" || row.kind === "int" ? [row.low, row.high] : row.kind === "other" ? [] : list(row.value).items.map(item)).filter((one) => one !== "");
    const numbers = was.filter(isNumber).map(Number).sort((a, b) => a - b);
    let made: YAMLMap | YAMLSeq | Scalar;
    if (kind === "float" || kind === "int") {
      const around = numbers.length === 1 ? (numbers[0] ?? 1) : undefined;
      const [low, high] = around !== undefined ? (around > 0 ? [around / 4, around * 4] : around < 0 ? [around * 4, 0] : [0, 1]) : [numbers[0] ?? (kind === "int" ? 1 : 0), numbers.at(-1) ?? (kind === "int" ? 10 : 1)];
      const end = (size: number): Scalar => node(kind === "int" ? String(Math.round(size)) : String(size), kind);
      const least = kind === "int" && row.log ? Math.max(1, low) : low;
      made = flowMap([["min", end(least)], ["max", end(kind === "int" ? Math.max(Math.round(least) + 1, high) : high)], ...(row.log && least > 0 ? [["log", new Scalar(true)] as const] : []), ...when]);
    } else {
      const first = row.good || was[0] || "1";
      const bare: YAMLSeq | Scalar = kind === "choice" ? list([...new Set(was.length ? was : ["a", "b"])].join(", ")) : node(first, "constant");
      made = when.length || kind === "choice" ? flowMap([[kind === "choice" ? "values" : "value", bare], ...when]) : bare;
    }
    if ((isMap(old) || isScalar(old) || isSeq(old)) && old.comment) made.comment = old.comment;
    doc.setIn(path, made);
    if (kind === "constant") believe(doc.contents as unknown as YAMLMap, row.name, "");
  });
}

/** Add a parameter after the others, under a name that is free. */
export function addRow(text: string): string {
  return changed(text, (_, top) => {
    let group = top.get("parameters", true) as unknown;
    if (!isMap(group)) {
      group = new YAMLMap();
      put(top, "parameters", group);
    }
    const map = group as YAMLMap;
    map.flow = false;
    let number = 1;
    while (map.has(`param_${number}`)) number += 1;
    map.set(new Scalar(`param_${number}`), flowMap([["min", node("0.0", "float")], ["max", node("1.0", "float")]]));
  });
}

/** Leave a parameter out, and what is believed of it. */
export function dropRow(text: string, row: Row): string {
  return changed(text, (doc, top) => {
    let path = own(doc, ["parameters", ...row.path]);
    doc.deleteIn(path);
    // A group that holds nothing any more goes with its last parameter.
    while (path.length > 3) {
      const group = doc.getIn(path.slice(0, -1), true);
      if (!isMap(group) || group.items.length) break;
      path = path.slice(0, -2);
      doc.deleteIn(path);
    }
    believe(top, row.name, "");
  });
}

/** Give a parameter another name, in its group; false: it is taken, or none. */
export function renamed(text: string, row: Row, name: string): string | false {
  const doc = opened(text);
  const key = name.trim();
  if (typeof doc === "string" || key === "") return false;
  const group = doc.getIn(["parameters", ...row.path.slice(0, -1)], true);
  if (!isMap(group) || group.has(key)) return false;
  return changed(text, (doc, top) => {
    const map = doc.getIn(own(doc, ["parameters", ...row.path]).slice(0, -1), true) as YAMLMap;
    const pair = map.items.find((one) => keyOf(one.key) === row.path.at(-1));
    if (!pair) return;
    pair.key = new Scalar(key);
    const whole = row.name.slice(0, row.name.length - (row.path.at(-1) ?? "").length) + key;
    renameConditions(top.get("parameters", true), row.name, whole);
    const method = top.get("method", true) as unknown;
    const prior = isMap(method) ? method.get("prior", true) : undefined;
    const believed = isMap(prior) ? prior.items.find((one) => keyOf(one.key) === row.name) : undefined;
    if (believed) believed.key = new Scalar(whole);
  });
}

/** Say what is believed to be a good value of a parameter; "" nothing. */
export function putGood(text: string, row: Row, typed: string): string {
  return changed(text, (_, top) => believe(top, row.name, typed, row.kind));
}

function believe(top: YAMLMap, name: string, typed: string, kind: Kind = "float"): void {
  let method = top.get("method", true) as unknown;
  let prior = isMap(method) ? (method.get("prior", true) as unknown) : undefined;
  if (typed.trim() === "") {
    if (!isMap(prior) || !isMap(method)) return;
    prior.delete(name);
    if (!prior.items.length) method.delete("prior");
    if (method.items.length === 1) put(top, "method", method.get("name", true));
    return;
  }
  if (!isMap(method)) {
    method = flowMap([["name", method ?? new Scalar("bayes")]]);
    (method as YAMLMap).flow = false;
    put(top, "method", method);
  }
  const map = method as YAMLMap;
  if (!isMap(prior)) {
    prior = flowMap([]);
    map.set("prior", prior);
  }
  const all = prior as YAMLMap;
  const before = all.get(name, true) as unknown;
  const made = node(typed, kind === "choice" ? "constant" : kind);
  if (isMap(before)) before.set("value", made);
  else all.set(name, made);
}
