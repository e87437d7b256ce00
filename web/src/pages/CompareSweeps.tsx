import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { type ReactNode, useMemo, useState } from "react";
import type { Schemas } from "../api/client.ts";
import * as ask from "../api/queries.ts";
import { ContestChart } from "../charts/Contest.tsx";
import { Beside, cells, Legend, Swatch } from "../components/Beside.tsx";
import { Choice } from "../components/Button.tsx";
import { Page, Section } from "../components/Page.tsx";
import { EmptyState, ErrorState, Loading } from "../components/Status.tsx";
import { Ago, NOTHING, Num, Span, State } from "../components/Value.tsx";
import { differingFirst, drawnOf, MOST_BESIDE } from "../lib/compare.ts";
import { count, num, plain, short } from "../lib/format.ts";
import { place } from "../lib/scale.ts";
import { changed, joined, parted } from "../lib/search.ts";

const route = getRouteApi("/compare/sweeps");
type Search = ReturnType<typeof route.useSearch>;
type Contest = Schemas["ContestView"];
type Go = (more: Search) => void;

/** Sweeps against each other: how good, how fast, with which configuration, and in which space. */
export function CompareSweeps() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const asked = useMemo(() => [...new Set(parted(search.ids) ?? [])].filter(Boolean), [search.ids]);
  const ids = useMemo(() => asked.slice(0, MOST_BESIDE), [asked]);
  const go: Go = (more) => void navigate({ search: changed(search, more), replace: true, resetScroll: false });
  const query = useQuery({ ...ask.contest(ids, search.metric), enabled: ids.length > 0 });
  const others = (
    <Link to="/sweeps" search={{ chosen: joined(asked) }} className="button">
      {asked.length ? "Choose others" : "Choose sweeps"}
    </Link>
  );
  if (!asked.length)
    return (
      <Page title="Compare sweeps">
        <EmptyState title="Which sweeps?">
          Tick some in the <Link to="/sweeps">list of sweeps</Link> and press <em>Compare</em>: methods against each other, or one method with several seeds.
        </EmptyState>
      </Page>
    );
  return (
    <Page title={`Compare ${count(query.data?.sweeps.length ?? ids.length, "sweep")}`} aside={others}>
      {asked.length > ids.length ? (
        <p className="note" role="status">
          {count(asked.length, "sweep")} are asked for, and {MOST_BESIDE} can be told apart: these are the first.
        </p>
      ) : null}
      {query.data?.missing.length ? (
        <p className="note" role="status">
          {query.data.missing.length === 1 ? "One of the sweeps is" : `${query.data.missing.length} of the sweeps are`} not there (any more): {query.data.missing.join(", ")}.{" "}
          <button type="button" className="link" onClick={() => go({ ids: joined(asked.filter((id) => !query.data.missing.includes(id))) })}>
            Leave out
          </button>
        </p>
      ) : null}
      {query.isError && !query.data ? <ErrorState error={query.error} retry={() => void query.refetch()} /> : query.data ? <Found contest={query.data} search={search} go={go} onDrop={(gone) => go({ ids: joined(asked.filter((id) => !gone.includes(id))) })} /> : <Loading what="the sweeps" />}
    </Page>
  );
}

function Found({ contest: whole, search, go, onDrop }: { contest: Contest; search: Search; go: Go; onDrop: (ids: readonly string[]) => void }) {
  const [near, setNear] = useState<string | null>(null);
  const hidden = useMemo(() => new Set(parted(search.hide) ?? []), [search.hide]);
  // Sweeps that search alike are one line, unless they are all that there is.
  const alone = whole.teams.length === 1 && whole.teams[0]?.sweeps.length === whole.sweeps.length;
  const apart = search.each === undefined ? alone : search.each === "1";
  const contest = useMemo(() => (apart ? { ...whole, teams: [] } : whole), [whole, apart]);
  const drawn = useMemo(() => drawnOf(contest), [contest]);
  const shown = useMemo(() => drawn.filter((one) => !hidden.has(one.id)), [drawn, hidden]);
  const behind = search.show === "behind";
  const log = search.log === "1";
  const only = search.diff === "1";
  const { sweeps } = contest;
  const maximize = contest.goal === "maximize";
  const placeOf = (id: string): number => drawn.find((one) => one.sweeps.includes(id))?.place ?? 0;
  const bare = sweeps.map((sweep) => ({
    id: sweep.sweep,
    head: (
      <Link to="/sweeps/$sweep" params={{ sweep: sweep.sweep }} title={sweep.name}>
        <Swatch place={placeOf(sweep.sweep)} />
        <span className="text">{sweep.name}</span>
      </Link>
    ),
  }));
  const heads = sweeps.map((sweep, i) => ({
    id: sweep.sweep,
    head: (
      <div className="head">
        {bare[i]?.head}
        <State state={sweep.state} of="sweep" />
      </div>
    ),
  }));
  const bestOf = (values: readonly (number | null)[], most: boolean): number[] => {
    const there = values.filter((one): one is number => one !== null && Number.isFinite(one));
    const top = most ? Math.max(...there) : Math.min(...there);
    return there.length > 1 && new Set(there).size > 1 ? values.flatMap((one, i) => (one === top ? [i] : [])) : [];
  };
  const needed = sweeps.map((one) => one.num_needed);
  const rows = [
    { key: `best ${contest.metric}`, best: bestOf(sweeps.map((one) => num(one.best)), maximize), values: sweeps.map((one) => (one.best === null ? NOTHING : one.best_run ? <Link key={one.sweep} to="/runs/$run" params={{ run: one.best_run }} className="figure"><Num value={one.best} /></Link> : <Num key={one.sweep} value={one.best} />)) },
    ...(contest.target === null || sweeps.length < 2 ? [] : [{ key: `trials to reach ${short(num(contest.target) ?? NaN)}`, best: bestOf(needed, false), values: needed.map((one) => (one === null ? <span key="n" className="nothing">never</span> : <Num value={one} />)) }]),
    { key: "found by trial", values: sweeps.map((one) => (one.best_number === null ? NOTHING : <Num value={one.best_number} />)) },
    { key: "trials", values: sweeps.map((one) => <span key={one.sweep} className="num">{one.num_trials.toLocaleString("en")}{one.cap === null ? null : <span className="unit"> / {one.cap.toLocaleString("en")}</span>}</span>) },
    { key: "stopped early", values: sweeps.map((one) => <Num key={one.sweep} value={one.num_stopped} />) },
    { key: "failed", values: sweeps.map((one) => <Num key={one.sweep} value={one.num_failed} />) },
    { key: "spent on trials", values: sweeps.map((one) => <Span key={one.sweep} seconds={one.seconds} />) },
    { key: "how it searches", values: sweeps.map((one) => <span key={one.sweep} title={one.approach}>{one.approach}</span>) },
    { key: "project", values: sweeps.map((one) => <span key={one.sweep} title={one.project}>{one.project}</span>) },
    { key: "created", values: sweeps.map((one) => <Ago key={one.sweep} time={one.created} />) },
  ];
  const configs = differingFirst(contest.configs, only).map((row) => ({ key: row.key, differs: row.differs || sweeps.length < 2, values: cells(row.values) }));
  const hasBest = sweeps.some((one) => one.best !== null);
  return (
    <>
      {sweeps.length === 1 ? <p className="note">One sweep alone: choose another to compare it with.</p> : null}
      <Section
        title="Results"
        aside={
          contest.metrics.length > 1 ? (
            <select className="select" aria-label="Metric" value={contest.metric} onChange={(event) => go({ metric: event.target.value })}>
              {contest.metrics.map((one) => (
                <option key={one}>{one}</option>
              ))}
            </select>
          ) : null
        }
      >
        <Beside corner="sweep" label="Sweeps side by side" heads={heads} rows={rows} />
      </Section>
      <Section
        title="How they came about"
        aside={
          hasBest ? (
            <>
              {whole.teams.length ? <Choice label="Lines" value={apart ? "each" : "alike"} options={[["alike", "by method"], ["each", "each"]]} onChange={(one) => go({ each: (one === "each") === alone ? undefined : one === "each" ? "1" : "0", hide: undefined })} /> : null}
              <Choice label="Shown" value={behind ? "behind" : "best"} options={[["best", "best so far"], ["behind", "behind the best"]]} onChange={(one) => go({ show: one === "behind" ? one : undefined })} />
              <Choice label="Values" value={log ? "log" : "linear"} options={[["linear", "linear"], ["log", "log"]]} onChange={(one) => go({ log: one === "log" ? "1" : undefined })} />
            </>
          ) : null
        }
      >
        {hasBest ? (
          <>
            <Legend
              of={drawn}
              hidden={hidden}
              near={near}
              onNear={setNear}
              onHide={(id, hide) => go({ hide: joined(hide ? [...hidden, id] : [...hidden].filter((one) => one !== id)) || undefined })}
              onDrop={(id) => onDrop(drawn.find((one) => one.id === id)?.sweeps ?? [])}
            />
            <ContestChart contest={contest} drawn={shown} behind={behind} log={log} near={near} onNear={setNear} />
          </>
        ) : (
          <p className="note">None of them has a result yet.</p>
        )}
      </Section>
      <Section
        title="Best configurations"
        aside={
          sweeps.length > 1 && contest.configs.length ? (
            <label className="switch">
              <input type="checkbox" checked={only} onChange={(event) => go({ diff: event.target.checked ? "1" : undefined })} />
              only differences
            </label>
          ) : null
        }
      >
        {configs.length ? <Beside corner="parameter" label="Best configurations side by side" heads={bare} rows={configs} /> : <p className="note">{contest.configs.length ? "Their best configurations are the same." : "There is none yet."}</p>}
      </Section>
      <Section title="Spaces">
        <Spaces contest={contest} heads={bare} />
      </Section>
    </>
  );
}

/** What each parameter may be in each sweep, on one scale, and how much of that is common to all. */
function Spaces({ contest, heads }: { contest: Contest; heads: { id: string; head: ReactNode }[] }) {
  if (!contest.shared.length) return <p className="note">They have no parameters.</p>;
  const several = contest.sweeps.length > 1;
  const inAll = contest.shared.filter((row) => row.extents.every((extent) => extent !== null)).length;
  const rows = contest.shared.map((row) => {
    const there = row.extents.flatMap((extent) => (extent && extent.options === null ? [extent] : []));
    const ends = there.flatMap((extent) => [num(extent.low), num(extent.high)]).filter((one): one is number => one !== null && Number.isFinite(one));
    const log = there.length > 0 && there.every((extent) => extent.log) && Math.min(...ends) > 0;
    const scale = { low: Math.min(...ends), high: Math.max(...ends), log };
    return {
      key: row.name,
      differs: true,
      values: [
        ...row.extents.map((extent, i) => (extent ? <Extent key={i} of={extent} scale={scale} common={several && row.extents.every((one) => one !== null) ? row.common : null} /> : <span key={i} className="nothing">not there</span>)),
        ...(several ? [row.share === null ? NOTHING : <span key="share" className="num">{row.share > 0 && row.share < 0.005 ? "< 1" : Math.round(row.share * 100)} %</span>] : []),
      ],
    };
  });
  return (
    <>
      <Beside corner="parameter" label="Spaces side by side" heads={[...heads, ...(several ? [{ id: "share", head: "in common" }] : [])]} rows={rows} />
      {several ? <p className="note">{inAll === contest.shared.length ? `All of them have ${inAll === 1 ? "the one parameter" : `all ${inAll} parameters`}.` : `${inAll} of ${count(contest.shared.length, "parameter")} ${inAll === 1 ? "is" : "are"} in all of them.`} Bars of a row are on one scale; what all have in common is coloured.</p> : null}
    </>
  );
}

function Extent({ of, scale, common }: { of: Schemas["ExtentView"]; scale: { low: number; high: number; log: boolean }; common: Schemas["ExtentView"] | null }) {
  const when = of.when ? `, where ${of.when}` : "";
  if (of.options) {
    const shared = new Set((common?.options ?? []).map((one) => JSON.stringify(one)));
    return (
      <span className="extent" title={of.options.map(plain).join(", ") + when}>
        <span className="text">
          {of.options.slice(0, 20).map((one, i) => (
            <span key={i} className={shared.has(JSON.stringify(one)) ? "" : "unit"}>
              {i ? ", " : ""}
              {plain(one)}
            </span>
          ))}
          {of.options.length > 20 ? " …" : ""}
        </span>
      </span>
    );
  }
  const [low, high] = [num(of.low) ?? 0, num(of.high) ?? 0];
  const at = (value: number): number => (Number.isFinite(value) ? (scale.low < scale.high ? Math.min(1, Math.max(0, place(scale, value))) : 0) : value < 0 ? 0 : 1);
  const bar = (from: number, to: number, className: string) => <span className={className} style={{ left: `${at(from) * 100}%`, width: `${Math.max(0, at(to) - at(from)) * 100}%` }} />;
  const both = common && common.options === null ? [num(common.low) ?? 0, num(common.high) ?? 0] : null;
  return (
    <span className="extent" title={`${low} to ${high}${of.log ? ", logarithmic" : ""}${when}`}>
      <span className="num">
        {short(low)} … {short(high)}
        {of.log ? <span className="unit"> log</span> : null}
      </span>
      {scale.low < scale.high ? (
        <span className="extent-track" aria-hidden="true">
          {bar(low, high, "")}
          {both ? bar(both[0] as number, both[1] as number, "common") : null}
        </span>
      ) : null}
    </span>
  );
}
