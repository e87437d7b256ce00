/** Writing filters: what may stand at the caret, and filters made of parts. The server reads and checks them. */

/** Columns that every run has. */
export const OWN = ["id", "name", "project", "sweep", "group", "notes", "reason", "number", "attempt", "value", "best", "stopped", "state", "created", "started", "ended", "duration", "tags"] as const;
export const STATES = ["pending", "running", "paused", "finished", "stopped", "failed", "canceled"] as const;

const NAME = /^[A-Za-z_]\w*$/;
const WORDS = new Set(["and", "or", "not", "in", "True", "False", "None"]);

/** A column under `head` (config, metrics, …) as an expression writes it: `config.lr`, `metrics["val/loss"]`. */
export function written(head: string, key: string): string {
  const parts = key.split(".");
  return parts.every((part) => NAME.test(part) && !WORDS.has(part)) ? `${head}.${key}` : `${head}[${JSON.stringify(key)}]`;
}

/** Both filters at once. */
export function both(one: string, other: string): string {
  if (!one.trim() || !other.trim()) return one.trim() || other.trim();
  return `(${one.trim()}) and (${other.trim()})`;
}

/** The most letters that the server reads. */
export const MOST_LETTERS = 2000;

/** Filters that want the runs of these ids, together; each is short enough. */
export function anyOf(ids: readonly string[]): string[] {
  const of = (some: readonly string[]): string => `id in [${some.join(", ")}]`;
  const filters: string[] = [];
  let some: string[] = [];
  for (const id of ids.map((one) => JSON.stringify(one))) {
    if (some.length && of([...some, id]).length > MOST_LETTERS) filters.push(of(some.splice(0)));
    some.push(id);
  }
  return some.length ? [...filters, of(some)] : filters;
}

export interface Proposal {
  /** What is put in. */
  text: string;
  /** What it is, in a word. */
  kind: string;
  /** The piece of the filter that it replaces. */
  from: number;
  to: number;
}

/** Return what may be meant by the word at the caret. `columns` are the expressions of all known columns. */
export function propose(filter: string, caret: number, columns: readonly string[], most = 12): Proposal[] {
  const before = filter.slice(0, caret);
  const quotes = (before.match(/"/g) ?? []).length;
  const word = /[\w.]*$/.exec(before)?.[0] ?? "";
  const from = caret - word.length;
  const left = before.slice(0, from);
  const at = { from, to: caret };
  const state = /\bstate\s*(?:==|!=|(?:not\s+)?in\s*\[[^\]]*)\s*"?$/.exec(left);
  if (state) {
    const opened = left.endsWith('"') ? from - 1 : from;
    return STATES.filter((one) => one.startsWith(word)).map((one) => ({ text: `"${one}"`, kind: "state", from: opened, to: caret }));
  }
  if (quotes % 2) return [];
  if (/(?:[\w\])"]|\bNone|\bTrue|\bFalse)\s+$/.test(left) && !/\b(?:and|or|not|in)\s+$/.test(left)) {
    const isOperand = /(?:==|!=|<=?|>=?|\bin)\s*\S+\s+$/.test(left);
    const words = isOperand ? ["and", "or"] : ["==", "!=", "<", "<=", ">", ">=", "in", "not in"];
    return words.filter((one) => one.startsWith(word)).map((text) => ({ text: `${text} `, kind: "operator", ...at }));
  }
  const low = word.toLowerCase();
  const found = columns
    .filter((one) => one.toLowerCase().includes(low))
    .sort((a, b) => rank(a, low) - rank(b, low))
    .slice(0, most)
    .map((text): Proposal => ({ text: `${text} `, kind: kind(text), ...at }));
  if (word && !left.trim() && !columns.includes(word)) found.push({ text: `"${word}" in name`, kind: "text in the name", ...at });
  return found;
}

const tail = (column: string): string => column.split(".").at(-1) ?? column;

function rank(column: string, word: string): number {
  const name = column.toLowerCase();
  if (name === word) return 0;
  if (name.startsWith(word)) return 1;
  return tail(name).startsWith(word) ? 2 : 3;
}

function kind(column: string): string {
  const head = column.split(/[.[]/)[0] ?? "";
  return head !== column && ["config", "metrics", "summary", "attrs", "params"].includes(head) ? head : "every run";
}
