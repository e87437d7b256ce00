/** Which part of a long table is asked for: what is in sight, wherever that is, and somewhat more on either side. */

/** Rows from `from` on, `limit` of them. */
export interface Part {
  from: number;
  limit: number;
}

/** Short, so that a page opens at once. */
const FIRST = 100;
/** Parts begin and end at multiples of it, so that a step further is mostly the same part. */
const STEP = 100;
/** What is about to come into sight is asked for, too. */
const MARGIN = 50;
const MOST = 1000;

/** The part that holds the rows from `first` to `last`. */
export function partOf(first: number, last: number): Part {
  if (last + MARGIN / 2 <= FIRST) return { from: 0, limit: FIRST };
  const from = Math.floor(Math.max(0, first - MARGIN) / STEP) * STEP;
  return { from, limit: Math.min(MOST, Math.ceil((last + MARGIN) / STEP) * STEP - from) };
}

/** What of a stretch of rows lies in a table that begins at `start` and has `size` rows; null: nothing. */
export function within({ from, limit }: Part, start: number, size: number): Part | null {
  const begin = Math.max(from, start);
  const end = Math.min(from + limit, start + size);
  return begin < end ? { from: begin - start, limit: end - begin } : null;
}
