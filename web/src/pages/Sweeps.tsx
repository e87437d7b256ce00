import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useRouter } from "@tanstack/react-router";
import { useMemo } from "react";
import type { SweepLine, SweepRow } from "../api/client.ts";
import * as ask from "../api/queries.ts";
import { Button } from "../components/Button.tsx";
import { Page } from "../components/Page.tsx";
import { ProjectChoice } from "../components/ProjectChoice.tsx";
import { Progress } from "../components/Progress.tsx";
import { Spark } from "../components/Spark.tsx";
import { EmptyState, ErrorState, Loading } from "../components/Status.tsx";
import { type Column, Table } from "../components/Table.tsx";
import { Ago, NOTHING, Num, State } from "../components/Value.tsx";
import { choose } from "../lib/chosen.ts";
import { count, num } from "../lib/format.ts";
import { changed, joined, parted } from "../lib/search.ts";

const route = getRouteApi("/sweeps");
const STATES = ["running", "paused", "pending", "finished", "canceled"] as const;

const COLUMNS: Column<SweepRow>[] = [
  { id: "name", title: "name", width: 190, sort: "name", cell: (sweep) => <Link to="/sweeps/$sweep" params={{ sweep: sweep.id }} className="opens" tabIndex={-1} title={sweep.name}>{sweep.name}</Link> },
  { id: "state", title: "state", width: 104, sort: "state", cell: (sweep) => <State state={sweep.state} of="sweep" /> },
  { id: "best", title: "best", width: 100, right: true, sort: "best", cell: (sweep) => (sweep.best_run && sweep.best_value !== null ? <Link to="/runs/$run" params={{ run: sweep.best_run }} tabIndex={-1} className="figure"><strong><Num value={sweep.best_value} /></strong></Link> : NOTHING) },
  { id: "spark", title: "so far", hint: "the best so far (of two metrics what their front covers), from the first trial with a result to the last", width: 104, cell: (sweep) => <Spark points={sweep.spark} of={sweep.spark_of} trials={sweep.num_trials} /> },
  { id: "metric", title: "metric", width: 150, sort: "metric", cell: (sweep) => sweep.metrics.map(aim).join(", "), whole: (sweep) => sweep.metrics.map(aim).join(", ") },
  { id: "trials", title: "trials", width: 170, right: true, sort: "trials", cell: (sweep) => <Progress done={sweep.num_trials} of={sweep.cap} /> },
  { id: "method", title: "method", width: 90, sort: "method", cell: (sweep) => sweep.method },
  { id: "project", title: "project", width: 100, sort: "project", cell: (sweep) => sweep.project },
  { id: "created", title: "created", width: 112, right: true, sort: "created", cell: (sweep) => <Ago time={sweep.created} /> },
  { id: "updated", title: "last change", width: 112, right: true, sort: "updated", cell: (sweep) => <Ago time={sweep.updated} /> },
];

const aim = (metric: Record<string, unknown>): string => `${metric["name"]} ${metric["goal"] === "maximize" ? "↑" : "↓"}`;

const BY: Record<string, (sweep: SweepLine) => string | number | null> = {
  name: (sweep) => sweep.name.toLowerCase(),
  state: (sweep) => STATES.indexOf(sweep.state),
  best: (sweep) => num(sweep.best_value),
  metric: (sweep) => String(sweep.metrics[0]?.["name"] ?? ""),
  trials: (sweep) => sweep.num_trials,
  method: (sweep) => sweep.method,
  project: (sweep) => sweep.project,
  created: (sweep) => sweep.created,
  updated: (sweep) => sweep.updated,
};

/** The sweeps, newest first. */
export function Sweeps() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const router = useRouter();
  const query = useQuery(ask.sweeps(search.project));
  const sort = search.sort ?? "-created";
  const all = query.data;
  const methods = useMemo(() => [...new Set(all?.map((sweep) => sweep.method))].sort(), [all]);
  const shown = useMemo(() => {
    const found = (all ?? []).filter((sweep) => (!search.state || sweep.state === search.state) && (!search.method || sweep.method === search.method));
    const down = sort.startsWith("-");
    const by = BY[sort.replace(/^-/, "")] ?? (() => 0);
    return found.sort((a, b) => {
      const [x, y] = [by(a), by(b)];
      if (x === null || y === null || x === y) return x === y ? b.created - a.created : x === null ? 1 : -1;
      return (x < y ? -1 : 1) * (down ? -1 : 1);
    });
  }, [all, search.state, search.method, sort]);
  const ticked = useMemo(() => parted(search.chosen) ?? [], [search.chosen]);
  const tickedSet = useMemo(() => new Set(ticked), [ticked]);
  const go = (more: typeof search): void => void navigate({ search: changed(search, more), replace: more.chosen !== undefined });

  return (
    <Page title="Sweeps" fill aside={<><ProjectChoice value={search.project} onChange={(project) => go({ project: project ?? "" })} /><Link to="/sweeps/new" className="button button-main" title="n s">New sweep</Link></>}>
      {query.isError && !all ? (
        <ErrorState error={query.error} retry={() => void query.refetch()} />
      ) : !all ? (
        <Loading what="sweeps" />
      ) : all.length === 0 ? (
        <EmptyState title="No sweeps yet" command="whet sweep sweep.yaml">
          A sweep is a stored search: parameters, a metric, a method. <Link to="/sweeps/new">Make one here</Link>, or write one in YAML; <code>whet run train.py lr=[1e-4:1e-1]</code> makes one by itself.
        </EmptyState>
      ) : (
        <div className="runs">
          <div className="tools">
            <Filtered label="State" value={search.state} options={STATES.filter((one) => all.some((sweep) => sweep.state === one))} onChange={(state) => go({ state })} />
            <Filtered label="Method" value={search.method} options={methods} onChange={(method) => go({ method })} />
            <span className="tools-count num" role="status">
              {shown.length === all.length ? count(all.length, "sweep") : `${shown.length} of ${count(all.length, "sweep")}`}
            </span>
          </div>
          <Table
            label="Sweeps"
            columns={COLUMNS}
            count={shown.length}
            row={(index) => shown[index]}
            rowKey={(sweep) => sweep.id}
            sort={sort}
            onSort={(by) => go({ sort: by })}
            chosen={tickedSet}
            onChoose={(first, last, on) => go({ chosen: joined(choose(ticked, shown.slice(first, last + 1).map((sweep) => sweep.id), on)) })}
            rowName={(sweep) => sweep.name}
            onOpen={(sweep) => void navigate({ to: "/sweeps/$sweep", params: { sweep: sweep.id } })}
            address={(sweep) => router.buildLocation({ to: "/sweeps/$sweep", params: { sweep: sweep.id } }).href}
            empty={<EmptyState title="No sweep is like that">None of the {all.length} sweeps has this state and method.</EmptyState>}
          />
          {ticked.length ? (
            <div className="chosen-bar" role="region" aria-label="Chosen sweeps">
              <span role="status">{count(ticked.length, "sweep")} chosen</span>
              {ticked.length > 1 ? (
                <Link to="/compare/sweeps" search={{ ids: joined(ticked) }} className="button button-main">
                  Compare
                </Link>
              ) : (
                <span className="note">Choose another to compare it with.</span>
              )}
              <Button kind="quiet" onClick={() => go({ chosen: "" })}>
                Choose none
              </Button>
            </div>
          ) : null}
        </div>
      )}
    </Page>
  );
}

function Filtered({ label, value, options, onChange }: { label: string; value: string | undefined; options: readonly string[]; onChange: (value: string) => void }) {
  if (options.length < 2 && !value) return null;
  return (
    <select className="select" aria-label={label} value={value ?? ""} onChange={(event) => onChange(event.target.value)}>
      <option value="">Any {label.toLowerCase()}</option>
      {options.map((one) => (
        <option key={one}>{one}</option>
      ))}
    </select>
  );
}
