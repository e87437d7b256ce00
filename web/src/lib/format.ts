/** How values are written. Numbers have four significant digits; those that need fewer are shown as they are. */

/** What a float may be on its way from the server: JSON has no NaN and no infinity. */
export type Wire = number | "NaN" | "Infinity" | "-Infinity";

/** The float that was meant; null where there is none. */
export function num(value: unknown): number | null {
  if (typeof value === "number") return value;
  if (value === "NaN") return NaN;
  if (value === "Infinity") return Infinity;
  if (value === "-Infinity") return -Infinity;
  return null;
}

/** Four significant digits: `0.5` is exact, `0.5000` was rounded. */
export function short(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e9) return String(value);
  const whole = String(value);
  if (whole.replace(/^-?0?\.?0*|[-.]|e.*$/g, "").length <= 4 && size >= 1e-4 && size < 1e6) return whole;
  if (size >= 1e-3 && size < 1e6) return value.toFixed(Math.max(0, 3 - Math.floor(Math.log10(Math.abs(Number(value.toPrecision(4)))))));
  return value.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e");
}

/** A value in a cell: what stands there, and all of it where that is less. */
export function brief(value: unknown): { text: string; whole: string | undefined } {
  const number = num(value);
  const text = number === null ? plain(value) : short(number);
  const whole = number === null ? text : String(number);
  return { text, whole: (number === null ? text.length > LONG : whole !== text) ? whole : undefined };
}

/** Texts that are longer may be cut. */
const LONG = 24;

/** Any value of a configuration, in one line. */
export function plain(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return short(value);
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "true" : "false";
  return JSON.stringify(value);
}

/** A length of time: `48 s`, `3 min 20 s`, `2 h 05 min`, `3 d 4 h`. */
export function span(seconds: number): string {
  if (!Number.isFinite(seconds)) return "";
  const s = Math.max(0, seconds);
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 59.5) return `${Math.round(s)} s`;
  const whole = Math.round(s);
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return minutes < 10 ? `${minutes} min ${two(whole % 60)} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${two(minutes % 60)} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const two = (value: number): string => String(Math.floor(value)).padStart(2, "0");

/** Made once: to make one takes longer than to draw a row. */
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** How long ago: `just now`, `5 min ago`, `3 d ago`. Times are seconds since the epoch. */
export function ago(time: number, now: number): string {
  const s = now - time;
  if (s < -60) return `in ${round(-s)}`;
  return s < 10 ? "just now" : `${round(s)} ago`;
}

function round(s: number): string {
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h`;
  if (s < 86_400 * 60) return `${Math.floor(s / 86_400)} d`;
  if (s < 86_400 * 730) return `${Math.floor(s / (86_400 * 30.44))} months`;
  return `${Math.floor(s / (86_400 * 365.25))} years`;
}

/** The date and time, as the reader's place writes them. */
export function absolute(time: number): string {
  return MOMENT.format(time * 1000);
}

/** A size in bytes: `812 B`, `1.2 MB`. */
export function bytes(size: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  let left = size;
  while (left >= 999.5 && at < units.length - 1) {
    left /= 1000;
    at += 1;
  }
  return `${at && left < 10 ? left.toFixed(1) : Math.round(left)} ${units[at]}`;
}

/** `1 trial`, `2 trials`. */
export function count(number: number, word: string): string {
  return `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
}
