/** The ranges of a sweep's parameters, to be extended or narrowed while it runs. */
import { useState } from "react";
import { api, ok, type Stats, type SweepFull } from "../api/client.ts";
import { count, short } from "../lib/format.ts";
import { asTexts, atEnd, partsOf, type Texts } from "../lib/ranges.ts";
import { parameter } from "../lib/scale.ts";
import { Asking } from "./Asking.tsx";

export function SweepRanges({ sweep, stats, params, onClose }: { sweep: SweepFull; stats: Stats | undefined; params: readonly string[]; onClose: () => void }) {
  const [seen] = useState(sweep); // what others change meanwhile is not undone
  const [texts, setTexts] = useState<Texts>(() => Object.fromEntries(params.map((name) => [name, asTexts(parameter(seen.config, name))])));
  const best = stats?.best.length === 1 ? stats.best[0]?.params : undefined;
  const parts = partsOf(seen.config, texts);
  const num = Object.keys(parts).length;
  return (
    <Asking
      title="Change ranges"
      verb="Change them"
      sweep={sweep}
      disabled={!num}
      onClose={onClose}
      ask={() => ok(api.PUT("/api/v1/sweeps/{id}", { params: { path: { id: sweep.id } }, body: { version: seen.version, parameters: parts } }))}
      done={() => `${count(num, "range")} changed: the next trials keep to ${num === 1 ? "it" : "them"}.`}
    >
      <p>Trials that have begun stay as they are, and what they taught stays known.{sweep.state === "finished" ? " The sweep goes on when it is reopened." : ""}</p>
      <div className="fields bounds">
        {Object.entries(texts).map(([name, fields]) => {
          const end = atEnd(seen.config, name, best?.[name]);
          return (
            <fieldset key={name}>
              <legend title={name}>{name}</legend>
              {Object.entries(fields).map(([part, text]) => (
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
