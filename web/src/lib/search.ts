/** The page's address: every view state is in it, as plain text that people can read and write. */

export type Search = Record<string, string>;

export function parseSearch(text: string): Search {
  return Object.fromEntries(new URLSearchParams(text));
}

/** What is empty is left out, but for columns: none is a choice, too. */
export function stringifySearch(search: Record<string, unknown>): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(search)) if (value !== undefined && value !== null && (value !== "" || key === "columns")) params.set(key, String(value));
  const text = params.toString().replaceAll("%2C", ",").replaceAll("%3A", ":").replaceAll("%22", '"').replaceAll("%5B", "[").replaceAll("%5D", "]");
  return text ? `?${text}` : "";
}

/** What is searched for after a change. What is undefined is left out, and so is what is empty, but for columns. */
export function changed<Known extends { [key: string]: string | undefined }>(search: Known, more: { [Key in keyof Known]?: string | undefined }): Known {
  return Object.fromEntries(Object.entries({ ...search, ...more }).filter(([key, value]) => value || (value === "" && key === "columns"))) as Known;
}

/** Several names in one text; a comma in a name is written `%2C`. */
export const joined = (names: readonly string[]): string => names.map((name) => name.replace(/[%,]/g, encodeURIComponent)).join(",");
export const parted = (text: string | undefined): string[] | null => (text === undefined ? null : text === "" ? [] : text.split(",").map(decoded));

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
