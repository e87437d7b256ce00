import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import type { RunLine, Schemas } from "../api/client.ts";
import * as ask from "../api/queries.ts";
import { Curves } from "../charts/Curves.tsx";
import { Beside, cells, Legend, type Named, Swatch } from "../components/Beside.tsx";
import { CurveTools, smoothingOf } from "../components/CurveTools.tsx";
import { Page, Section } from "../components/Page.tsx";
import { EmptyState, ErrorState, Loading } from "../components/Status.tsx";
import { Ago, State, Took } from "../components/Value.tsx";
import { countsEpochs, differingFirst, MOST_BESIDE, overEpochs } from "../lib/compare.ts";
import { count } from "../lib/format.ts";
import { changed, joined, parted } from "../lib/search.ts";

const route = getRouteApi("/compare/runs");
type Search = ReturnType<typeof route.useSearch>;

/** Runs side by side: what came out of them, how it came about, what they were given. */
export function CompareRuns() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const asked = useMemo(() => [...new Set(parted(search.ids) ?? [])].filter(Boolean), [search.ids]);
  const ids = useMemo(() => asked.slice(0, MOST_BESIDE), [asked]);
  const go = (more: Search): void => void navigate({ search: changed(search, more), replace: true, resetScroll: false });
  const query = useQuery({ ...ask.theseRuns(ids), enabled: ids.length > 0 });
  const runs = useMemo(() => ids.flatMap((id) => query.data?.runs.find((run) => run.id === id) ?? []), [ids, query.data]);
  const found = query.data && !query.isPlaceholderData;
  const gone = found ? ids.filter((id) => !runs.some((run) => run.id === id)) : [];
  const table = (
    <Link to="/runs" search={{ chosen: joined(asked) }} className="button">
      {asked.length ? "Choose others" : "Choose runs"}
    </Link>
  );
  if (!asked.length)
    return (
      <Page title="Compare runs">
        <EmptyState title="Which runs?">
          Tick some in the <Link to="/runs">run table</Link>, or in the table of a sweep, and press <em>Compare</em>. By keyboard: <kbd>t</kbd> goes into the table, <kbd>Space</kbd> ticks a row.
        </EmptyState>
      </Page>
    );
  if (query.isError && !query.data) return <ErrorState whole error={query.error} retry={() => void query.refetch()} />;
  return (
    <Page title={`Compare ${count(found ? runs.length : ids.length, "run")}`} aside={table}>
      {asked.length > ids.length ? (
        <p className="note" role="status">
          {count(asked.length, "run")} are asked for, and {MOST_BESIDE} can be told apart: these are the first. The <Link to="/runs" search={{ by: "state" }}>run table</Link> puts any number together in groups.
        </p>
      ) : null}
      {gone.length ? (
        <p className="note" role="status">
          {gone.length === 1 ? "One of the runs is" : `${gone.length} of the runs are`} not there (any more): {gone.join(", ")}.{" "}
          <button type="button" className="link" onClick={() => go({ ids: joined(asked.filter((id) => !gone.includes(id))) })}>
            Leave out
          </button>
        </p>
      ) : null}
      {!query.data ? <Loading what="the runs" /> : runs.length ? <Found runs={runs} search={search} go={go} onDrop={(id) => go({ ids: joined(asked.filter((one) => one !== id)) })} /> : <EmptyState title="None of these runs is there">They were deleted, or are another server's.</EmptyState>}
    </Page>
  );
}

interface FoundProps {
  runs: readonly RunLine[];
  search: Search;
  go: (more: Search) => void;
  onDrop: (id: string) => void;
}

function Found({ runs, search, go, onDrop }: FoundProps) {
  const ids = useMemo(() => runs.map((run) => run.id), [runs]);
  const key = ids.join();
  const state = runs.map((run) => run.state).join();
  const query = useQuery({ ...ask.compared(ids), refetchInterval: runs.some((run) => run.ended === null) ? ask.LIVE_MS : false });
  const named = useMemo(() => titles(runs).map((name, place): Named => ({ id: (runs[place] as RunLine).id, name, place })), [key, state]); // eslint-disable-line react-hooks/exhaustive-deps
  if (query.isError && !query.data) return <ErrorState error={query.error} retry={() => void query.refetch()} />;
  if (!query.data) return <Loading what="what they have" />;
  const data = query.data;
  // An answer about other runs than these stays until the new one is here.
  const places = ids.map((id) => data.runs.indexOf(id));
  const only = search.diff === "1";
  const heads = runs.map((run, i) => ({
    id: run.id,
    head: (
      <div className="head">
        <Head run={run} place={i} name={named[i]?.name ?? ""} />
        <State state={run.state} reason={run.reason} short />
      </div>
    ),
  }));
  const placed = (rows: readonly Schemas["RowView"][]) => differingFirst(rows, only).map((row) => ({ key: row.key, differs: row.differs || runs.length < 2, values: cells(places.map((at) => row.values[at])), best: places.flatMap((at, i) => (row.best.includes(at) ? [i] : [])) }));
  const results = placed(data.summary);
  const config = placed(data.config);
  const numSame = data.config.filter((row) => !row.differs).length;
  const bare = runs.map((run, i) => ({ id: run.id, head: <Head run={run} place={i} name={named[i]?.name ?? ""} /> }));
  const toggle = (
    <label className="switch">
      <input type="checkbox" checked={only} onChange={(event) => go({ diff: event.target.checked ? "1" : undefined })} />
      only differences
    </label>
  );
  const times = [
    { key: "duration", values: runs.map((run) => <Took key={run.id} started={run.started} ended={run.ended ?? (run.state === "lost" ? run.beat : null)} />) },
    { key: "created", values: runs.map((run) => <Ago key={run.id} time={run.created} />) },
  ];
  return (
    <>
      {runs.length === 1 ? <p className="note">One run alone: choose another to compare it with.</p> : null}
      <Section title="Results" aside={runs.length > 1 ? toggle : null}>
        <Beside corner="result" label="Results side by side" heads={heads} rows={[...results, ...times]} />
        {data.summary.length ? null : <p className="note">None of them has logged anything.</p>}
      </Section>
      <Drawn named={named} runs={runs} names={data.curves} search={search} go={go} onDrop={onDrop} />
      <Section title="Configuration" aside={runs.length > 1 ? toggle : null}>
        {config.length ? <Beside corner="value" label="Configurations side by side" heads={bare} rows={config} /> : <p className="note">{data.config.length ? "Their configurations are the same." : "None of them has a configuration."}</p>}
        {only && numSame && config.length ? <p className="note">{count(numSame, "value")} {numSame === 1 ? "is" : "are"} the same in all.</p> : null}
      </Section>
    </>
  );
}

function Head({ run, place, name }: { run: RunLine; place: number; name: string }) {
  return (
    <Link to="/runs/$run" params={{ run: run.id }} title={run.name}>
      <Swatch place={place} />
      <span className="text">{name}</span>
    </Link>
  );
}

/** What runs are called side by side: of equal names each has its id. */
function titles(runs: readonly RunLine[]): string[] {
  return runs.map((run) => (runs.filter((other) => other.name === run.name).length > 1 ? `${run.id} · ${run.name}` : run.name));
}

const MOST_CHARTS = 24;

function Drawn({ named, runs, names, search, go, onDrop }: FoundProps & { named: readonly Named[]; names: readonly string[] }) {
  const [near, setNear] = useState<string | null>(null);
  const epochs = names.find(countsEpochs);
  const x = search.x === "time" || (search.x === "epoch" && epochs) ? search.x : "step";
  const smoothing = smoothingOf(search);
  const log = search.log === "1";
  const find = (search.find ?? "").toLowerCase();
  const hidden = useMemo(() => new Set(parted(search.hide) ?? []), [search.hide]);
  const matching = useMemo(() => names.filter((name) => name.toLowerCase().includes(find) && !(x === "epoch" && name === epochs)), [names, find, x, epochs]);
  const shown = useMemo(() => matching.slice(0, MOST_CHARTS), [matching]);
  const wanted = useMemo(() => (x === "epoch" && epochs && !shown.includes(epochs) ? [...shown, epochs] : shown), [shown, x, epochs]);
  const ids = useMemo(() => named.map((one) => one.id), [named]);
  const query = useQuery({ ...ask.curvesOf(ids, wanted, x === "time" ? "time" : "step", runs.some((run) => run.ended === null)), enabled: wanted.length > 0 });
  const charts = useMemo(
    () =>
      shown.map((name) => ({
        name,
        lines: named.flatMap(({ id, name: title, place }) => {
          const all = query.data?.[id];
          const line = all?.[name];
          if (!line || hidden.has(id)) return [];
          const over = x === "epoch" && epochs ? overEpochs(line, all?.[epochs]) : line;
          return over.x.length ? [{ name: title, id, place, x: over.x, y: over.y, start: runs[place]?.started ?? line.x[0] }] : [];
        }),
      })),
    [shown, named, query.data, hidden, x, epochs], // eslint-disable-line react-hooks/exhaustive-deps
  );
  if (!names.length) return null;
  return (
    <Section
      title="Curves"
      aside={<CurveTools search={search} go={go} count={names.length} over={epochs ? ["step", "time", "epoch"] : ["step", "time"]} />}
    >
      <Legend
        of={named}
        hidden={hidden}
        near={near}
        onNear={setNear}
        onDrop={onDrop}
        onHide={(id, hide) => go({ hide: joined(hide ? [...hidden, id] : [...hidden].filter((one) => one !== id)) || undefined })}
      />
      {query.isError && !query.data ? <ErrorState error={query.error} retry={() => void query.refetch()} /> : !query.data && wanted.length ? <Loading what="the curves" /> : null}
      <div className="curves">
        {query.data
          ? charts.map(({ name, lines }) => (
              <Curves key={name} title={name} lines={lines} x={x === "time" ? "time" : "step"} over={x} smoothing={smoothing} log={log} height={240} focus={near === null ? null : at(lines.findIndex((line) => line.id === near))} onNear={(line) => setNear(line === null ? null : (lines[line]?.id ?? null))} />
            ))
          : null}
      </div>
      {matching.length > MOST_CHARTS ? <p className="note">{matching.length - MOST_CHARTS} more: find them by name.</p> : null}
      {matching.length ? null : <p className="note">No curve is called like that.</p>}
    </Section>
  );
}

const at = (place: number): number | null => (place < 0 ? null : place);
