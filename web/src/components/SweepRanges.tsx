/** The ranges of a sweep's parameters, to be extended or narrowed while it runs. */
import { useState } from "react";
import { api, ok, type Stats, type SweepFull } from "../api/client.ts";
import { count, num, short } from "../lib/format.ts";
import { isLog, parameter, place, scaleOf } from "../lib/scale.ts";
import { typed } from "../lib/typed.ts";
import { Asking, written } from "./Asking.tsx";

type Config = SweepFull["config"];
type Texts = Record<string, Record<string, string>>;

/** What of a parameter may be changed here: its ends or its options, as they are written. */
const PARTS = ["min", "max", "mu", "sigma", "values"] as const;
const NEAR_END = 0.04;

export function SweepRanges({ sweep, stats, params, onClose }: { sweep: SweepFull; stats: Stats | undefined; params: readonly string[]; onClose: () => void }) {
  const [seen] = useState(sweep); // what others change meanwhile is not undone
  const [texts, setTexts] = useState<Texts>(() => Object.fromEntries(params.map((name) => [name, asTexts(parameter(seen.config, name))])));
  const best = stats?.best.length === 1 ? stats.best[0]?.params : undefined;
  const changed = Object.keys(texts).filter((name) => {
    const was = asTexts(parameter(seen.config, name));
    return Object.entries(texts[name] ?? {}).some(([part, text]) => text !== was[part]);
  });
  return (
    <Asking
      title="Change ranges"
      verb="Change them"
      sweep={sweep}
      disabled={!changed.length}
      onClose={onClose}
      ask={() => ok(api.PUT("/api/v1/sweeps/{id}", { params: { path: { id: sweep.id } }, body: { version: seen.version, config: withRanges(seen.config, texts, changed) } }))}
      done={() => `${count(changed.length, "range")} changed: the next trials keep to ${changed.length === 1 ? "it" : "them"}.`}
    >
      <p>Trials that have begun stay as they are, and what they taught stays known.{sweep.state === "finished" ? " The sweep goes on when it is reopened." : ""}</p>
      <div className="fields ranges">
        {Object.entries(texts).map(([name, parts]) => {
          const end = atEnd(seen.config, name, best?.[name]);
          return (
            <fieldset key={name}>
              <legend title={name}>{name}</legend>
              {Object.entries(parts).map(([part, text]) => (
                <label key={part}>
                  <span>{{ min: "from", max: "to", values: "one of" }[part] ?? part}</span>
                  <input className="input" value={text} spellCheck={false} aria-label={`${name}: ${part}`} onChange={(event) => setTexts((all) => ({ ...all, [name]: { ...all[name], [part]: event.target.value } }))} />
                </label>
              ))}
              {end ? (
                <p className="note">
                  The best, {short(end.value)}, is at the {end.side} end.
                </p>
              ) : null}
            </fieldset>
          );
        })}
      </div>
    </Asking>
  );
}

function asTexts(of: Record<string, unknown> | null): Record<string, string> {
  return Object.fromEntries(PARTS.flatMap((part) => (of && part in of ? [[part, part === "values" ? options(of[part]) : written(of[part])]] : [])));
}

/** Options in a line, as a list of JSON where commas alone would not tell them apart. */
function options(values: unknown): string {
  const all = Array.isArray(values) ? values : [];
  const line = all.map(written).join(", ");
  return all.every((value, i) => typed(line.split(",")[i]?.trim() ?? "") === value) && line.split(",").length === all.length ? line : JSON.stringify(all);
}

/** The configuration with what was written. What can't be read goes to the server as it is, which says what is wrong with it. */
export function withRanges(config: Config, texts: Texts, changed: readonly string[]): Config {
  const made = structuredClone(config);
  for (const name of changed) {
    const of = parameter(made, name);
    for (const [part, text] of Object.entries(texts[name] ?? {})) if (of) of[part] = part === "values" && !text.trim().startsWith("[") ? text.split(",").map((one) => typed(one.trim())) : typed(text.trim());
  }
  return made;
}

/** At which end of its range a value lies, if it does. */
function atEnd(config: Config, name: string, value: unknown): { side: "lower" | "upper"; value: number } | null {
  const of = parameter(config, name);
  const [low, high, at] = [num(of?.["min"]), num(of?.["max"]), num(value)];
  if (low === null || high === null || at === null || !(low < high)) return null;
  const share = place(scaleOf([low, high], isLog(config, name)), at);
  return share <= NEAR_END ? { side: "lower", value: at } : share >= 1 - NEAR_END ? { side: "upper", value: at } : null;
}
