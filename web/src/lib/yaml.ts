/** Plain values as YAML, and parameters in the forms that people paste: YAML, Python, the command line. */

const PLAIN = /^[A-Za-z_][\w./-]*$/;
const WORDS = /^(true|false|null|yes|no|on|off|y|n|nan|inf)$/i;

function scalar(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (typeof value === "string") return PLAIN.test(value) && !WORDS.test(value) ? value : JSON.stringify(value);
  if (typeof value === "number") return float(value);
  return String(value);
}

// YAML 1.1 reads `1e-05` as text: a float has a point.
function float(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? ".nan" : value > 0 ? ".inf" : "-.inf";
  const text = String(value);
  return text.includes("e") && !text.includes(".") ? text.replace("e", ".0e") : text;
}

const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Return `value` as YAML: mappings on lines of their own, lists of plain values on one. */
export function yaml(value: unknown, indent = ""): string {
  if (isMapping(value)) {
    const lines = Object.entries(value).map(([key, inner]) => {
      const name = scalar(key);
      const isLong = (isMapping(inner) && Object.keys(inner).length > 0) || (Array.isArray(inner) && inner.some((one) => typeof one === "object" && one !== null));
      return isLong ? `${indent}${name}:\n${yaml(inner, `${indent}  `)}` : `${indent}${name}: ${yaml(inner)}`;
    });
    return lines.length ? lines.join("\n") : "{}";
  }
  if (Array.isArray(value)) {
    if (!value.some((one) => typeof one === "object" && one !== null)) return `[${value.map(scalar).join(", ")}]`;
    return value.map((one) => `${indent}- ${yaml(one, `${indent}  `).trimStart()}`).join("\n");
  }
  return scalar(value);
}

/** Return `value` as Python writes it. */
export function python(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : `float("${String(value).toLowerCase()}")`;
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  return `{${Object.entries(value).map(([key, inner]) => `${JSON.stringify(key)}: ${python(inner)}`).join(", ")}}`;
}

/** Return parameters as options of a script: `--lr=0.01 --name='two words'`. */
export function options(params: Record<string, unknown>): string {
  return Object.entries(params)
    .map(([key, value]) => quoted(`--${key}=${typeof value === "object" ? JSON.stringify(value) : String(value)}`))
    .join(" ");
}

/** A word as a shell takes it. */
export const quoted = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
