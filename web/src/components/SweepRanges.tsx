/** The ranges of a sweep's parameters, to be extended or narrowed while it runs. */
import { useState } from "react";
import { api, ok, type Stats, type SweepFull } from "../api/client.ts";
import { count, short } from "../lib/format.ts";
import { asTexts, atEnd, type Texts, withRanges } from "../lib/ranges.ts";
import { parameter } from "../lib/scale.ts";
import { Asking } from "./Asking.tsx";

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
      <div className="fields bounds">
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
