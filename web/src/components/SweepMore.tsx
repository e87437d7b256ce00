/** What else can be done with a sweep: a cap, a configuration of one's own, failed trials again, its runs as a file. */
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { api, ok, type Stats, type SweepFull } from "../api/client.ts";
import * as ask from "../api/queries.ts";
import { typed, written } from "../lib/typed.ts";
import { count, plain } from "../lib/format.ts";
import { parameter } from "../lib/scale.ts";
import { Asking } from "./Asking.tsx";
import { Item, Menu } from "./Menu.tsx";

interface Props {
  sweep: SweepFull;
  stats: Stats | undefined;
  /** The parameters that vary. */
  params: readonly string[];
  /** The table's: what is exported, where it is wanted so. */
  filter: string;
}

type Open = "cap" | "enqueue" | "ranges" | "retry";
const SweepRanges = lazy(() => import("./SweepRanges.tsx").then((found) => ({ default: found.SweepRanges })));

export function SweepMore(props: Props) {
  const { sweep, stats, filter } = props;
  const scope = useQuery(ask.session).data?.scope;
  const may = scope === "write" || scope === "admin";
  const [open, setOpen] = useState<Open | null>(null);
  const failed = stats?.counts.failed ?? 0;
  const file = (format: string, some: boolean): string => `/api/v1/sweeps/${encodeURIComponent(sweep.id)}/export?${new URLSearchParams({ format, ...(some ? { filter } : {}) })}`;
  const close = (): void => setOpen(null);
  const save = (to: string): void => {
    const link = document.createElement("a");
    link.href = to;
    link.download = "";
    link.click();
  };
  return (
    <>
      <Menu label="More" align="right">
        {(shut) => {
          const then = (act: () => void) => () => {
            shut();
            act();
          };
          return (
            <>
              <Item disabled={!may} onSelect={then(() => setOpen("cap"))}>
                Change the cap …
              </Item>
              <Item disabled={!may || sweep.state === "finished" || sweep.state === "canceled"} onSelect={then(() => setOpen("enqueue"))}>
                Add a configuration …
              </Item>
              <Item disabled={!may || sweep.state === "canceled" || !props.params.length || sweep.config["define_by_run"] === true} onSelect={then(() => setOpen("ranges"))}>
                Change ranges …
              </Item>
              <Item disabled={!may || !failed} onSelect={then(() => setOpen("retry"))}>
                Run failed trials again …
              </Item>
              {(["csv", "jsonl"] as const).map((format) => (
                <Item key={format} onSelect={then(() => save(file(format, false)))}>
                  Export as {format === "csv" ? "CSV" : "JSON Lines"}
                </Item>
              ))}
              {filter ? <Item onSelect={then(() => save(file("csv", true)))}>Export what the filter shows (CSV)</Item> : null}
            </>
          );
        }}
      </Menu>
      {open === "cap" ? <Cap {...props} onClose={close} /> : open === "enqueue" ? <Enqueue {...props} onClose={close} /> : open === "retry" ? <Retry {...props} failed={failed} onClose={close} /> : null}
      {open === "ranges" ? (
        <Suspense>
          <SweepRanges sweep={sweep} stats={stats} params={props.params} onClose={close} />
        </Suspense>
      ) : null}
    </>
  );
}

function Cap({ sweep, onClose }: Props & { onClose: () => void }) {
  const [text, setText] = useState(String(sweep.cap ?? ""));
  const [version] = useState(sweep.version); // that which was seen as the dialog opened: what others changed meanwhile is not undone
  return (
    <Asking
      title="Change the cap"
      verb="Change it"
      sweep={sweep}
      onClose={onClose}
      ask={() => ok(api.PUT("/api/v1/sweeps/{id}", { params: { path: { id: sweep.id } }, body: { version, cap: typed(text) as number } }))}
      done={() => `The cap of ${sweep.name} is ${text.trim()}.`}
    >
      <p>
        So many trials begin in all; {count(sweep.num_trials, "trial")} have begun. A sweep that its cap ended goes on when it is reopened.
      </p>
      <div className="fields">
        <label>
          <span>cap</span>
          <input className="input" inputMode="numeric" autoFocus value={text} onChange={(event) => setText(event.target.value)} />
        </label>
      </div>
    </Asking>
  );
}

function Enqueue({ sweep, stats, params, onClose }: Props & { onClose: () => void }) {
  const best = stats?.best[0]?.params ?? {};
  const [texts, setTexts] = useState<Record<string, string>>(() => Object.fromEntries(params.map((name) => [name, name in best ? written(best[name]) : ""])));
  const wanted = (): Record<string, unknown> => Object.fromEntries(Object.entries(texts).filter(([, text]) => text.trim() !== "").map(([name, text]) => [name, typed(text)]));
  return (
    <Asking
      title="Add a configuration"
      verb="Add it"
      sweep={sweep}
      onClose={onClose}
      ask={() => ok(api.POST("/api/v1/sweeps/{id}/enqueue", { params: { path: { id: sweep.id } }, body: { params: wanted() } })) as Promise<{ number: number }>}
      done={({ number }) => `Trial ${number} is queued: it is the next one that an agent gets.`}
    >
      <p>{Object.keys(best).length ? "Begun from the best one. " : ""}What is left empty is drawn.</p>
      <div className="fields">
        {params.map((name) => {
          const options = parameter(sweep.config, name)?.["values"];
          const put = (text: string): void => setTexts((all) => ({ ...all, [name]: text }));
          return (
            <label key={name}>
              <span title={name}>{name}</span>
              {Array.isArray(options) ? (
                <select className="select" value={texts[name]} onChange={(event) => put(event.target.value)}>
                  <option value="">(drawn)</option>
                  {options.map((option, i) => (
                    <option key={i} value={written(option)}>
                      {plain(option) || "none"}
                    </option>
                  ))}
                </select>
              ) : (
                <input className="input" value={texts[name]} spellCheck={false} onChange={(event) => put(event.target.value)} />
              )}
            </label>
          );
        })}
      </div>
    </Asking>
  );
}

function Retry({ sweep, failed, onClose }: Props & { failed: number; onClose: () => void }) {
  return (
    <Asking
      title="Run failed trials again?"
      verb="Run them again"
      sweep={sweep}
      onClose={onClose}
      ask={() => ok(api.POST("/api/v1/sweeps/{id}/retry", { params: { path: { id: sweep.id } }, body: {} }))}
      done={({ queued, waiting }) => (queued.length ? `${count(queued.length, "trial")} queued again.` : waiting.length ? `${count(waiting.length, "trial")} queued before still waiting.` : "There was none to be run again.")}
    >
      <p>
        {count(failed, "trial")} failed. Those that were not run again yet are queued as new trials with the same parameters{sweep.cap === null ? "" : "; the cap is raised by as many"}
        {sweep.state === "finished" ? "; the sweep is reopened" : ""}.
      </p>
    </Asking>
  );
}
