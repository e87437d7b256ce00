/** A sweep file's YAML, read and written so that what is not changed (comments, order, keys that no form knows) stays as it is. */
import { type Alias, type Document, isAlias, isCollection, isMap, isScalar, isSeq, type Node, parseDocument, Scalar, visit, YAMLMap, YAMLSeq } from "yaml";
import type { Kind } from "./sheet.ts";

const READING = { version: "1.1", customTags: (tags: readonly unknown[]) => tags.filter((tag) => !isTimestamp(tag)), keepSourceTokens: false, prettyErrors: true } as const;
const WRITING = { lineWidth: 0, flowCollectionPadding: false } as const;
const isTimestamp = (tag: unknown): boolean => typeof tag === "object" && tag !== null && "tag" in tag && tag.tag === "tag:yaml.org,2002:timestamp";

// What was read last: a change begins with the text that is shown, and reading is most of its cost.
let last: { text: string; doc: Document | string } | null = null;

/** The text as a document, or what is wrong with it. Of JSON and YAML alike. */
export function opened(text: string): Document | string {
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

/** A scalar as it was written, anything else in one line; "" where nothing is. */
export function written(node: unknown): string {
  if (node === undefined || node === null) return "";
  if (isScalar(node)) {
    if (node.value === null) return "";
    if (typeof node.value === "string") return node.value;
    return node.source ?? String(node.value);
  }
  return flow(node);
}

/** A scalar as it stands in a list: text that looks like a number keeps its quotes. */
export function item(node: unknown): string {
  if (!isScalar(node)) return flow(node);
  if (typeof node.value === "string") return isBare(node.value) ? node.value : JSON.stringify(node.value);
  return node.value === null ? "null" : (node.source ?? String(node.value));
}

export function flow(node: unknown): string {
  if (isSeq(node)) return `[${node.items.map(item).join(", ")}]`;
  if (isMap(node)) return `{${pairs(node)}}`;
  if (isAlias(node)) return `*${node.source}`;
  return item(node);
}

export const keyOf = (key: unknown): string => (isScalar(key) ? String(key.value) : String(key));
export const pairs = (map: YAMLMap, without: readonly string[] = []): string => map.items.filter((pair) => !without.includes(keyOf(pair.key))).map((pair) => `${keyOf(pair.key)}: ${isScalar(pair.value) ? item(pair.value) : flow(pair.value)}`).join(", ");

/** What a text says of itself; null: nothing. */
export const parsedAs = (text: string): unknown => parseDocument(text, READING as never).contents;

/** Whether a text stands in a list as it is, and means itself there. */
function isBare(text: string): boolean {
  const made = parsedAs(`[${text}]`);
  const one = isSeq(made) && made.items.length === 1 ? made.items[0] : null;
  return isScalar(one) && one.value === text;
}

/** What is written between braces, `name: value, name: value`; null: it can't be read. */
export function knobs(text: string): YAMLMap | null {
  const made = parseDocument(`{${text}}`, READING as never);
  return made.errors.length || !isMap(made.contents) || made.contents.items.some((pair) => pair.value === null) ? null : (made.contents as YAMLMap);
}

/** The text after a change of its document. */
export function changed(text: string, change: (doc: Document, top: YAMLMap) => void): string {
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
      if (!node || there.has(alias.source)) return undefined;
      const copy = node.clone() as Node;
      // The line's own comment, not that of the line where it stood: within lines of its own it stands above them.
      copy.comment = isBlock(copy) ? null : (alias.comment ?? null);
      if (isBlock(copy)) copy.commentBefore = alias.comment ?? null;
      visit(copy, { Node: (_, one) => void ((isScalar(one) || isCollection(one)) && one.anchor && there.has(one.anchor) && delete one.anchor) }); // an anchor stands only once
      return copy;
    },
    Node: (_, node) => {
      if ((isScalar(node) || isCollection(node)) && node.anchor) there.add(node.anchor);
    },
  });
}

const isBlock = (node: Node): boolean => isCollection(node) && !node.flow;

/** A node of what somebody typed: a number keeps its form (`1.0`, `1e-4`). */
export function node(text: string, kind: Kind | "text"): Scalar {
  const made = parsedAs(text.trim());
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

export function flowMap(entries: readonly (readonly [string, unknown])[]): YAMLMap {
  const map = new YAMLMap();
  map.flow = true;
  for (const [key, inner] of entries) map.set(new Scalar(key), inner);
  return map;
}

/** What an alias stands for, or the node itself. */
export const meant = (doc: Document, node: unknown): unknown => (isAlias(node) ? node.resolve(doc) : node);

/** A mapping that can be changed without changing another: a copy of it where an alias is in between, or points to it; null: it is none. */
export function apart(doc: Document, node: unknown): YAMLMap | null {
  const map = meant(doc, node);
  if (!isMap(map)) return null;
  let isShared = isAlias(node);
  if (map.anchor) visit(doc, { Alias: (_, alias) => void (isShared ||= alias.resolve(doc) === map) });
  return (isShared ? copyOf(map as YAMLMap) : map) as YAMLMap;
}

/** A copy without anchors, which may stand only once in a file: what stood for them within it is written out. */
function copyOf(map: YAMLMap): YAMLMap {
  const copy = map.clone() as YAMLMap;
  const inside = new Map<string, Node>();
  visit(copy, {
    Alias: (_, alias, path) => {
      const found = inside.get(alias.source);
      return found && (path.includes(found) ? new Scalar(null) : (found.clone() as Node)); // null: it would hold itself
    },
    Node: (_, node) => {
      if (!(isScalar(node) || isCollection(node)) || !node.anchor) return;
      inside.set(node.anchor, node);
      delete node.anchor;
    },
  });
  return copy;
}

/** Where that is, in mappings that can be changed by themselves. */
export function own(doc: Document, path: readonly string[]): readonly string[] {
  for (let n = 1; n < path.length; n += 1) {
    const old = doc.getIn(path.slice(0, n), true);
    const map = apart(doc, old);
    if (map && map !== old) doc.setIn(path.slice(0, n), map);
  }
  return path;
}

/** What stands at a place as a mapping that can be changed by itself: a value that stands there alone goes under a key of it, an alias is written out. */
export function mapAt(doc: Document, path: readonly string[]): YAMLMap {
  const old = doc.getIn(path, true);
  const own = apart(doc, old);
  if (own) {
    if (isAlias(old)) own.comment = old.comment ?? null;
    if (own !== old) doc.setIn(path, own);
    return own;
  }
  const map = flowMap([[isSeq(meant(doc, old)) ? "values" : "value", old]]);
  if ((isScalar(old) || isSeq(old) || isAlias(old)) && old.comment) {
    map.comment = old.comment; // within the braces it would take the rest of the line
    old.comment = null;
  }
  doc.setIn(path, map);
  return map;
}

export function list(text: string): YAMLSeq {
  const made = parsedAs(`[${text}]`);
  const seq = new YAMLSeq();
  seq.flow = true;
  seq.items = isSeq(made) ? made.items : [new Scalar(text)];
  return seq;
}

// A key that is new stands where people look for it.
const ORDER = ["name", "description", "project", "program", "command", "method", "metric", "metrics", "parameters", "nested", "constraints", "limits", "early_terminate", "terminate", "run_cap", "seed"];
export function put(top: YAMLMap, key: string, made: unknown): void {
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

