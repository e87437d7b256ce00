/** What may stand at the caret of a sweep file: keys and values by the server's JSON Schema, knobs by its list of methods. */

export interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  anyOf?: Schema[];
  type?: string | string[];
  enum?: unknown[];
  description?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
  items?: Schema;
}

export interface Known {
  schema: Schema;
  /** What is said of a method or stopper, and its knobs. */
  plugins: Record<"method" | "early_terminate", readonly { name: string; about: string; knobs: readonly string[] }[]>;
}

export interface Completion {
  /** What is put in. */
  text: string;
  about: string;
  /** The piece of the text that it replaces. */
  from: number;
  to: number;
}

const MOST = 14;

/** Where the caret is: the keys around it, the key whose value is being written (or none), and the word so far. */
export interface Spot {
  path: string[];
  key: string | null;
  word: string;
  /** Keys that the mapping has already, on their own lines or in braces. */
  taken: string[];
}

const KEY = /^(\s*)(?:-\s+)?(?:(["']?)([^\s"':{}[\],#][^:{}[\],#]*?)\2)\s*:(?:\s+(.*))?$/;

/** Return where the caret is, or null in a comment or a quoted text. */
export function spotAt(text: string, caret: number): Spot | null {
  const before = text.slice(0, caret);
  const start = before.lastIndexOf("\n") + 1;
  const line = before.slice(start);
  if (/(^|\s)#/.test(line)) return null;
  const lines = text.split("\n");
  const number = before.split("\n").length - 1;
  const flow = within(line);
  if (flow) {
    const outer = /^(\s*(?:-\s+)?)(?:([^\s:{}[\],#][^:{}[\],#]*?)\s*:)?\s*$/.exec(flow.head);
    if (!outer) return null;
    const indent = (outer[1] ?? "").length;
    return { path: [...parents(lines, number, indent), ...(outer[2] ? [outer[2].trim()] : []), ...flow.path], key: flow.key, word: flow.word, taken: flow.taken };
  }
  const value = /^(\s*(?:-\s+)?)([^\s:{}[\],#"'][^:{}[\],#]*?)\s*:\s+([^\s{["']*)$/.exec(line);
  if (value) return { path: parents(lines, number, (value[1] ?? "").length), key: value[2] ?? "", word: value[3] ?? "", taken: [] };
  const key = /^(\s*(?:-\s+)?)([\w.-]*)$/.exec(line);
  if (!key) return null;
  const indent = (key[1] ?? "").length;
  return { path: parents(lines, number, indent), key: null, word: key[2] ?? "", taken: siblings(lines, number, indent) };
}

/** The innermost braces that are open at the end of a line. */
function within(line: string): { head: string; path: string[]; key: string | null; word: string; taken: string[] } | null {
  const stack: { at: number; keys: string[]; key: string | null; from: number; list: boolean }[] = [];
  let quote = "";
  for (let i = 0; i < line.length; i += 1) {
    const letter = line[i] as string;
    const top = stack.at(-1);
    if (quote) {
      if (letter === quote) quote = "";
    } else if ((letter === '"' || letter === "'") && /[\s,:{[]/.test(line[i - 1] ?? " ")) quote = letter;
    else if (letter === "{" || letter === "[") stack.push({ at: i, keys: [], key: null, from: i + 1, list: letter === "[" });
    else if (letter === "}" || letter === "]") stack.pop();
    else if (letter === ":" && top && !top.list && /\s|$/.test(line[i + 1] ?? "")) {
      top.key = line.slice(top.from, i).trim();
      top.keys.push(top.key);
      top.from = i + 1;
    } else if (letter === "," && top) {
      top.key = null;
      top.from = i + 1;
    }
  }
  const last = stack.at(-1);
  const first = stack[0];
  if (quote || !last || !first || last.list || stack.some((one) => one.list)) return null;
  const word = line.slice(last.from).trimStart();
  if (/\s/.test(word)) return null;
  return { head: line.slice(0, first.at), path: stack.slice(0, -1).map((one) => one.key ?? ""), key: last.key, word, taken: last.keys };
}

/** In which column the key of a line begins: after the dash, in a list. */
const depth = (line: string): number => /^\s*(?:-\s+)?/.exec(line)?.[0].length ?? 0;

function parents(lines: readonly string[], number: number, indent: number): string[] {
  const path: string[] = [];
  let least = indent;
  for (let i = number - 1; i >= 0 && least > 0; i -= 1) {
    const line = lines[i] ?? "";
    const found = KEY.exec(line);
    if (!line.trim() || line.trim().startsWith("#") || !found || depth(line) >= least) continue;
    path.unshift((found[3] ?? "").trim());
    least = depth(line);
  }
  return path;
}

function siblings(lines: readonly string[], number: number, indent: number): string[] {
  const found: string[] = [];
  for (const step of [-1, 1])
    for (let i = number + step; i >= 0 && i < lines.length; i += step) {
      const line = lines[i] ?? "";
      if (!line.trim() || line.trim().startsWith("#")) continue;
      if (depth(line) < indent) break;
      const key = KEY.exec(line);
      if (key && depth(line) === indent) found.push((key[3] ?? "").trim());
    }
  return found;
}

function parts(schema: Schema | undefined, root: Schema): Schema[] {
  if (!schema) return [];
  if (schema.$ref) return parts(root.$defs?.[schema.$ref.split("/").at(-1) ?? ""], root);
  return [schema, ...(schema.anyOf ?? []).flatMap((one) => parts(one, root))];
}

function below(schema: Schema, key: string, root: Schema): Schema | undefined {
  for (const part of parts(schema, root)) {
    const inner = part.properties?.[key] ?? (typeof part.additionalProperties === "object" ? part.additionalProperties : undefined);
    if (inner) return inner;
    const item = part.items && below(part.items, key, root);
    if (item) return item;
  }
  return undefined;
}

/** Return what may be meant at the caret; nothing where the schema knows nothing. */
export function complete(text: string, caret: number, { schema, plugins }: Known, all = false): Completion[] {
  const spot = spotAt(text, caret);
  if (!spot || (!all && !spot.word && spot.key === null)) return [];
  const place = { from: caret - spot.word.length, to: caret };
  let here: Schema | undefined = schema;
  for (const key of spot.path) here = here && below(here, key, schema);
  if (!here) return [];
  const owner = spot.path.length === 1 && (spot.path[0] === "method" || spot.path[0] === "early_terminate") ? spot.path[0] : null;
  const label = owner === "method" ? "name" : "type";
  const about = (kind: "method" | "early_terminate", name: unknown): string => plugins[kind].find((one) => one.name === name)?.about ?? "";
  let found: { text: string; about: string }[];
  if (spot.key === null) {
    const properties = Object.entries(Object.assign({}, ...parts(here, schema).flatMap((one) => [one, ...parts(one.items, schema)]).map((one) => one.properties ?? {})) as Record<string, Schema>);
    found = properties.map(([key, one]) => ({ text: `${key}: `, about: one.description ?? parts(one, schema).find((inner) => inner.description)?.description ?? "" }));
    if (owner) {
      const chosen = plugins[owner].find((one) => new RegExp(`^${owner}:[^#]*?\\b${label}:\\s*${one.name}\\b`, "m").test(text));
      found.push(...(chosen?.knobs ?? []).map((knob) => ({ text: `${knob}: `, about: `a knob of ${chosen?.name}` })));
    }
    found = found.filter((one) => !spot.taken.includes(one.text.slice(0, -2)) || one.text.slice(0, -2) === spot.word);
  } else {
    const own = below(here, spot.key, schema);
    const kind = spot.key === label && owner ? owner : spot.path.length === 0 && (spot.key === "method" || spot.key === "early_terminate") ? spot.key : null;
    const values = parts(own, schema).flatMap((one) => one.enum ?? (one.type === "boolean" || (Array.isArray(one.type) && one.type.includes("boolean") && one.type.length <= 2) ? [true, false] : []));
    found = [...new Set(values)].filter((one) => one !== null).map((one) => ({ text: String(one), about: kind ? about(kind, one) : "" }));
  }
  // A value that is written out is what was meant: Enter after it begins a line, though `asha` is a part of `pasha`.
  if (!all && found.some((one) => one.text === spot.word)) return [];
  const low = spot.word.toLowerCase();
  const fits = found.filter((one) => one.text.toLowerCase().includes(low) && one.text !== spot.word);
  const rank = (one: { text: string }): number => (one.text === `${spot.word}: ` ? 0 : one.text.toLowerCase().startsWith(low) ? 1 : 2);
  return fits.sort((a, b) => rank(a) - rank(b)).slice(0, MOST).map((one) => ({ ...one, ...place }));
}
