/** Values as they are read: numbers, times, lengths of time, states. */
import { useSyncExternalStore } from "react";
import type { RunState } from "../api/client.ts";
import { absolute, ago, brief, num, span } from "../lib/format.ts";

/** Where there is no value. */
export const NOTHING = <span className="nothing">–</span>;

/** A number with four significant digits; all of them on hover. */
export function Num({ value, unit }: { value: unknown; unit?: string }) {
  if (num(value) === null) return NOTHING;
  const { text, whole } = brief(value);
  return (
    <span className="num" title={whole}>
      {text}
      {unit ? <span className="unit"> {unit}</span> : null}
    </span>
  );
}

/** Any value of a configuration or summary, in one line. */
export function Val({ value }: { value: unknown }) {
  if (num(value) !== null) return <Num value={value} />;
  if (value === null || value === undefined) return NOTHING;
  const { text, whole } = brief(value);
  return (
    <span className="text" title={whole}>
      {text}
    </span>
  );
}

let now = Date.now() / 1000;
const told = new Set<() => void>();
let clock: ReturnType<typeof setInterval> | undefined;

function tick(): void {
  now = Date.now() / 1000;
  told.forEach((tell) => tell());
}

function subscribe(tell: () => void): () => void {
  if (!told.size) {
    now = Date.now() / 1000;
    clock = setInterval(tick, 5000);
  }
  told.add(tell);
  return () => {
    told.delete(tell);
    if (!told.size) clearInterval(clock);
  };
}

/** The time, every five seconds, the same for the whole page. */
export const useNow = (): number => useSyncExternalStore(subscribe, () => now);

/** How long ago; the date on hover. */
export function Ago({ time }: { time: number | null }) {
  const at = useNow();
  if (time === null) return NOTHING;
  return (
    <time dateTime={new Date(time * 1000).toISOString()} title={absolute(time)}>
      {ago(time, at)}
    </time>
  );
}

/** How long something took, or has taken until now. */
export function Took({ started, ended }: { started: number | null; ended: number | null }) {
  return started !== null && ended === null ? <Since time={started} /> : started === null || ended === null ? NOTHING : <Span seconds={ended - started} />;
}

function Since({ time }: { time: number }) {
  return <Span seconds={useNow() - time} />;
}

export function Span({ seconds }: { seconds: number }) {
  return (
    <span className="num" title={`${seconds.toFixed(3)} s`}>
      {span(seconds)}
    </span>
  );
}

const WORDS: Record<RunState, string> = {
  pending: "queued",
  running: "running",
  paused: "paused",
  finished: "finished",
  stopped: "stopped early",
  failed: "failed",
  canceled: "canceled",
  lost: "lost",
};

/** A state: a mark of its own shape, and the word, so that nothing hangs on colour alone. */
export function State({ state, reason, short: isShort, of = "run" }: { state: RunState; reason?: string; short?: boolean; of?: "run" | "sweep" }) {
  return (
    <span className={`state state-${state}`} title={reason || undefined}>
      <svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">
        {MARKS[state]}
      </svg>
      {isShort && state === "stopped" ? "stopped" : of === "sweep" && state === "pending" ? "not started" : WORDS[state]}
    </span>
  );
}

const MARKS: Record<RunState, React.ReactNode> = {
  pending: <circle cx="6" cy="6" r="4" className="hollow" />,
  running: <circle cx="6" cy="6" r="4.5" className="filled" />,
  paused: <path d="M4 2.5v7M8 2.5v7" className="stroke" />,
  finished: <path d="M2 6.5l3 3 5-7" className="stroke" />,
  stopped: <path d="M6 1.5l5 9H1z" className="hollow" />,
  failed: <path d="M2.5 2.5l7 7M9.5 2.5l-7 7" className="stroke" />,
  canceled: <path d="M2 6h8" className="stroke" />,
  lost: <path d="M4 4.2a2 2 0 1 1 2.6 1.9c-.4.2-.6.5-.6 1M6 9.8v.4" className="stroke" />,
};
