/** A nested mapping as names with dots and plain values, in its own order; lists stay whole. */
export function flat(value: Record<string, unknown>, head = "", depth = 0): [string, unknown][] {
  return Object.entries(value).flatMap(([key, inner]): [string, unknown][] => {
    const name = head ? `${head}.${key}` : key;
    const nests = typeof inner === "object" && inner !== null && !Array.isArray(inner) && Object.keys(inner).length > 0 && depth < 16;
    return nests ? flat(inner as Record<string, unknown>, name, depth + 1) : [[name, inner]];
  });
}
