/** A sweep file as its form sees it: read from the YAML, and changed in it so that all else (comments, order, keys that no form knows) stays. */
import { type Alias, type Document, isAlias, isCollection, isMap, isScalar, isSeq, type Node, parseDocument, Scalar, visit, YAMLMap, YAMLSeq } from "yaml";

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
  rows: Row[];
  /** Keys of the file that the form does not show. */
  others: string[];
}

export type TextKey = "name" | "project" | "description" | "program" | "command" | "run_cap" | "seed";

const SHOWN = new Set(["name", "project", "description", "program", "command", "method", "metric", "metrics", "parameters", "early_terminate", "run_cap", "seed", "nested"]);
const READING = { version: "1.1", customTags: (tags: readonly unknown[]) => tags.filter((tag) => !isTimestamp(tag)), keepSourceTokens: false, prettyErrors: true } as const;
const WRITING = { lineWidth: 0, flowCollectionPadding: false } as const;
const isTimestamp = (tag: unknown): boolean => typeof tag === "object" && tag !== null && "tag" in tag && tag.tag === "tag:yaml.org,2002:timestamp";

// What was read last: a change begins with the text that is shown, and reading is most of its cost.
let last: { text: string; doc: Document | string } | null = null;

/** The text as a document, or what is wrong with it. Of JSON and YAML alike. */
function opened(text: string): Document | string {
  if (last?.text !== text) last = { text, doc: parsed(text) };
  return last.doc;
}

function parsed(text: string): Document | string {
  const doc = parseDocument(text, READING as never) as Document;
  const wrong = doc.errors[0];
  if (wrong) return wrong.message.split("\n")[0]?.replace(/:$/, "") ?? "it can't be read";
  if (doc.contents !== null && !isMap(doc.contents)) return "there are no keys at the top";
  return doc;
}

/** What the form shows of a text; a text: why it can't. */
export function read(text: string): Sheet | string {
  const doc = opened(text);
  if (typeof doc === "string") return doc;
  const top = isMap(doc.contents) ? doc.contents : new YAMLMap();
  const [method, methodKnobs] = plugin(top.get("method", true), "name");
  const [stopper, stopperKnobs] = plugin(top.get("early_terminate", true), "type");
  const prior = isMap(top.get("method", true)) ? (top.get("method", true) as unknown as YAMLMap).get("prior", true) : undefined;
  const word = (key: string): string => written(top.get(key, true));
  return {
    name: word("name"), project: word("project"), description: word("description"), program: word("program"), command: commandOf(top.get("command", true)),
    method: method || "bayes", methodKnobs, stopper, stopperKnobs, cap: word("run_cap"), seed: word("seed"),
    metrics: metricsOf(top), rows: rowsOf(top.get("parameters", true), [], "", prior),
    others: top.items.map((pair) => String(isScalar(pair.key) ? pair.key.value : pair.key)).filter((key) => !SHOWN.has(key)),
  };
}

/** A scalar as it was written, anything else in one line; "" where nothing is. */
function written(node: unknown): string {
  if (node === undefined || node === null) return "";
  if (isScalar(node)) {
    if (node.value === null) return "";
    if (typeof node.value === "string") return node.value;
    return node.source ?? String(node.value);
  }
  return flow(node);
}

/** A scalar as it stands in a list: text that looks like a number keeps its quotes. */
function item(node: unknown): string {
  if (!isScalar(node)) return flow(node);
  if (typeof node.value === "string") return typeof value(node.value) === "string" && !/[,[\]{}]/.test(node.value) && node.value.trim() === node.value && node.value !== "" ? node.value : JSON.stringify(node.value);
  return node.value === null ? "null" : (node.source ?? String(node.value));
}

function flow(node: unknown): string {
  if (isSeq(node)) return `[${node.items.map(item).join(", ")}]`;
  if (isMap(node)) return `{${pairs(node)}}`;
  if (isAlias(node)) return `*${node.source}`;
  return item(node);
}

const keyOf = (key: unknown): string => (isScalar(key) ? String(key.value) : String(key));
const pairs = (map: YAMLMap, without: readonly string[] = []): string => map.items.filter((pair) => !without.includes(keyOf(pair.key))).map((pair) => `${keyOf(pair.key)}: ${isScalar(pair.value) ? item(pair.value) : flow(pair.value)}`).join(", ");

/** What a scalar of YAML means. */
function value(text: string): unknown {
  const doc = parseDocument(text, READING as never);
  return doc.errors.length || !isScalar(doc.contents) ? text : doc.contents.value;
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

function rowsOf(node: unknown, path: string[], head: string, prior: unknown): Row[] {
  if (!isMap(node)) return [];
  return node.items.flatMap((pair): Row[] => {
    const key = keyOf(pair.key);
    const here = [...path, key];
    const name = head + key;
    const inner = isMap(pair.value) ? pair.value.get("parameters", true) : undefined;
    if (isMap(inner)) return rowsOf(inner, [...here, "parameters"], `${name}.`, prior);
    const believed = isMap(prior) ? prior.get(name, true) : undefined;
    return [{ ...rowOf(pair.value), name, path: here, good: isMap(believed) ? written(believed.get("value", true)) : written(believed) }];
  });
}

const WHOLE = /^[-+]?\d[\d_]*$/;
const PLAIN = new Set(["min", "max", "log", "step", "when", "distribution"]);
const RANGES = new Set(["", "uniform", "int_uniform", "log_uniform_values", "log_uniform"]);

function rowOf(node: unknown): Omit<Row, "name" | "path" | "good"> {
  const row = { kind: "other" as Kind, low: "", high: "", log: false, step: "", value: "", when: "" };
  if (isScalar(node)) return node.value === null ? { ...row, value: "" } : { ...row, kind: "constant", value: item(node) };
  if (isSeq(node)) return { ...row, kind: "choice", value: node.items.map(item).join(", ") };
  if (!isMap(node)) return { ...row, value: flow(node) };
  const keys = node.items.map((pair) => keyOf(pair.key));
  const said = written(node.get("distribution", true));
  const when = written(node.get("when", true));
  const values = node.get("values", true);
  if (isSeq(values)) return { ...row, kind: "choice", value: values.items.map(item).join(", "), when };
  if (keys.includes("value") && keys.every((key) => key === "value" || key === "when" || key === "distribution")) return { ...row, kind: "constant", value: item(node.get("value", true)), when };
  const low = written(node.get("min", true));
  const high = written(node.get("max", true));
  const isExponent = said === "log_uniform" && !(Number(low) > 0);
  if ((keys.includes("min") || keys.includes("max")) && keys.every((key) => PLAIN.has(key)) && RANGES.has(said) && !isExponent) {
    const log = written(node.get("log", true)).toLowerCase() === "true" || said.startsWith("log_");
    const kind = (said === "" || said === "int_uniform") && WHOLE.test(low || high) && WHOLE.test(high || low) ? "int" : "float";
    return { ...row, kind, low, high, log, step: written(node.get("step", true)), when };
  }
  return { ...row, value: pairs(node, ["when"]), when };
}

// -- changing it ---------------------------------------------------------------------------------------------------

/** The text after a change of its document. */
function changed(text: string, change: (doc: Document, top: YAMLMap) => void): string {
  const doc = opened(text);
  if (typeof doc === "string") return text;
  last = null; // from here on it is another text's
  if (doc.contents === null) doc.contents = new YAMLMap() as never;
  const meant = meantBy(doc);
  change(doc, doc.contents as unknown as YAMLMap);
  mend(doc, meant);
  return doc.toString(WRITING);
}

/** What the aliases of a document stand for. */
function meantBy(doc: Document): Map<Alias, Node> {
  const meant = new Map<Alias, Node>();
  visit(doc, {
    Alias: (_, alias) => {
      const found = alias.resolve(doc);
      if (found) meant.set(alias, found);
    },
  });
  return meant;
}

/** Write out what an alias stood for where the change took its anchor away; others of that name stand for it from there on. */
function mend(doc: Document, meant: Map<Alias, Node>): void {
  if (!meant.size) return;
  const there = new Set<string>();
  visit(doc, {
    Alias: (_, alias) => {
      const node = meant.get(alias);
      return node && !there.has(alias.source) ? (node.clone() as Node) : undefined;
    },
    Node: (_, node) => {
      if ((isScalar(node) || isCollection(node)) && node.anchor) there.add(node.anchor);
    },
  });
}

/** A node of what somebody typed: a number keeps its form (`1.0`, `1e-4`). */
function node(text: string, kind: Kind | "text"): Scalar {
  const made = parseDocument(text.trim(), READING as never).contents;
  const old = isScalar(made) ? made : null;
  if (kind === "text" || old === null || old.value === undefined) return new Scalar(text);
  const scalar = new Scalar(old.value);
  if (old.format && typeof old.value === "number") scalar.format = old.format;
  if (old.minFractionDigits !== undefined) scalar.minFractionDigits = old.minFractionDigits;
  if (kind === "float" && typeof old.value === "number" && Number.isInteger(old.value) && !old.format) scalar.minFractionDigits = Math.max(1, old.minFractionDigits ?? 0);
  if (kind === "int" && typeof old.value === "number" && Number.isInteger(old.value)) {
    delete scalar.format;
    delete scalar.minFractionDigits;
  }
  if (typeof old.value === "string") return new Scalar(text.trim().replace(/^(["'])(.*)\1$/, "$2"));
  return scalar;
}

function flowMap(entries: readonly (readonly [string, unknown])[]): YAMLMap {
  const map = new YAMLMap();
  map.flow = true;
  for (const [key, inner] of entries) map.set(new Scalar(key), inner);
  return map;
}

function list(text: string): YAMLSeq {
  const made = parseDocument(`[${text}]`, READING as never).contents;
  const seq = new YAMLSeq();
  seq.flow = true;
  seq.items = isSeq(made) ? made.items : [new Scalar(text)];
  return seq;
}

/** Change one of the keys at the top; "" leaves it out. */
export function putText(text: string, key: TextKey, typed: string): string {
  return changed(text, (_, top) => {
    if (typed.trim() === "") top.delete(key);
    else put(top, key, node(typed, key === "run_cap" || key === "seed" ? "int" : "text"));
  });
}

// A key that is new stands where people look for it.
const ORDER = ["name", "description", "project", "program", "command", "method", "metric", "metrics", "parameters", "nested", "constraints", "early_terminate", "terminate", "run_cap", "seed"];
function put(top: YAMLMap, key: string, made: unknown): void {
  if (top.has(key)) {
    top.set(key, made);
    return;
  }
  const rank = (one: string): number => (ORDER.includes(one) ? ORDER.indexOf(one) : ORDER.length);
  const pair = { key: new Scalar(key), value: made };
  top.set(pair.key, made);
  const own = top.items.pop();
  const at = top.items.findIndex((other) => rank(keyOf(other.key)) > rank(key));
  if (own) top.items.splice(at < 0 ? top.items.length : at, 0, own);
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
  const made = parseDocument(`{${typed}}`, READING as never);
  if (made.errors.length || !isMap(made.contents) || made.contents.items.some((pair) => pair.value === null)) return false;
  const knobs = made.contents;
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
    const path = ["parameters", ...row.path];
    const old = doc.getIn(path, true);
    if (part === "value" && !isMap(old)) {
      doc.setIn(path, row.kind === "choice" ? list(typed) : node(typed, "constant"));
      return;
    }
    const map = isMap(old) ? old : flowMap([[row.kind === "choice" ? "values" : "value", old]]);
    if (!isMap(old)) doc.setIn(path, map);
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
    const path = ["parameters", ...row.path];
    const old = doc.getIn(path, true);
    const when: [string, unknown][] = isMap(old) && old.has("when") ? [["when", old.get("when", true)]] : [];
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
    let path = ["parameters", ...row.path];
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
  return changed(text, (own, top) => {
    const map = own.getIn(["parameters", ...row.path.slice(0, -1)], true) as YAMLMap;
    const pair = map.items.find((one) => keyOf(one.key) === row.path.at(-1));
    if (!pair) return;
    pair.key = new Scalar(key);
    const method = top.get("method", true) as unknown;
    const prior = isMap(method) ? method.get("prior", true) : undefined;
    const believed = isMap(prior) ? prior.items.find((one) => keyOf(one.key) === row.name) : undefined;
    if (believed) believed.key = new Scalar(row.name.slice(0, row.name.length - (row.path.at(-1) ?? "").length) + key);
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
  const own = prior as YAMLMap;
  const before = own.get(name, true) as unknown;
  const made = node(typed, kind === "choice" ? "constant" : kind);
  if (isMap(before)) before.set("value", made);
  else own.set(name, made);
}
