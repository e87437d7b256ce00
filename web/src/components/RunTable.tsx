/** The run table: of all runs, of a project, or of a sweep. What is seen of it is in the page's address. */
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useRouter } from "@tanstack/react-router";
import { lazy, type ReactNode, Suspense, useMemo, useRef } from "react";
import { Problem, type RunLine, type SweepLine } from "../api/client.ts";
import * as ask from "../api/queries.ts";
import { choose } from "../lib/chosen.ts";
import { OWN, written } from "../lib/filter.ts";
import { brief, count, num } from "../lib/format.ts";
import { joined, parted } from "../lib/search.ts";
import { ColumnPicker } from "./ColumnPicker.tsx";
import { useParts, useTraits } from "./parts.ts";
import { FilterBox } from "./FilterBox.tsx";
import { EmptyState, ErrorState, Loading } from "./Status.tsx";
import { type Column, Table } from "./Table.tsx";
import { useToasts } from "./Toast.tsx";
import { Ago, NOTHING, State, Took } from "./Value.tsx";

export interface TableSearch {
  filter?: string | undefined;
  sort?: string | undefined;
  columns?: string | undefined;
  /** Ids of the runs that are chosen. */
  chosen?: string | undefined;
  /** The column by which runs are put together, the one that is summed up, and which groups are open. */
  by?: string | undefined;
  of?: string | undefined;
  open?: string | undefined;
}

/** What of a page's address is the run table's. */
export const seen = ({ filter, sort, columns, chosen, by, of, open }: TableSearch): TableSearch => ({
  ...(filter ? { filter } : {}),
  ...(sort ? { sort } : {}),
  ...(columns === undefined ? {} : { columns }),
  ...(chosen ? { chosen } : {}),
  ...(by ? { by } : {}),
  ...(of ? { of } : {}),
  ...(open ? { open } : {}),
});

const ChosenBar = lazy(() => import("./ChosenBar.tsx").then((found) => ({ default: found.ChosenBar })));
const GroupTable = lazy(() => import("./GroupTable.tsx").then((found) => ({ default: found.GroupTable })));

interface Props {
  project?: string | undefined;
  sweep?: SweepLine | undefined;
  /** Those of its sweep, for one: the parameters that vary and its metrics. */
  first?: readonly string[] | undefined;
  search: TableSearch;
  onSearch: (search: TableSearch) => void;
  /** Shown where there are no runs at all. */
  empty: ReactNode;
  live: boolean;
  className?: string;
}

export function RunTable({ project, sweep, first, search, onSearch, empty, live, className }: Props) {
  const navigate = useNavigate();
  const router = useRouter();
  const toasts = useToasts();
  const names = useQuery(ask.columns(project, sweep?.id));
  const all = useQuery({ ...ask.sweeps(project), enabled: !sweep, refetchInterval: false });
  const guessed = useGuess(project, first === undefined && search.columns === undefined, names.data);
  const chosen = parted(search.columns) ?? first ?? guessed;
  const sort = search.sort ?? (sweep ? "-number" : "-created");
  const known = useMemo(() => expressions(names.data), [names.data]);
  const cells = useMemo(() => chosen ?? [], [chosen]);
  const table = useMemo((): ask.Table => ({ project, sweep: sweep?.id, filter: search.filter, sort, columns: cells }), [project, sweep?.id, search.filter, sort, cells]);
  const { query, row, here, total, idsOf, onSight } = useParts(table, chosen !== undefined, live);
  const ticked = useMemo(() => parted(search.chosen) ?? [], [search.chosen]);
  const tickedSet = useMemo(() => new Set(ticked), [ticked]);
  const latest = useRef({ search, onSearch, table });
  latest.current = { search, onSearch, table };
  const pick = (first: number, last: number, on: boolean): void =>
    void idsOf(first, last)
      .then((ids) => {
        const now = latest.current; // what was changed until the answer came stays; of another table's rows these are none
        if (now.table === table) now.onSearch({ ...now.search, chosen: joined(choose(parted(now.search.chosen) ?? [], ids, on)) || undefined });
      })
      .catch(toasts.fail);
  const nameOf = useMemo(() => new Map(all.data?.map((one) => [one.id, one.name])), [all.data]);
  const { texts, hasResults, hasReasons } = useTraits(`${project} ${sweep?.id} ${search.filter}`, here, cells, isText);
  const shown = useMemo(() => columnsOf(cells, sweep, nameOf, project, texts, hasResults, hasReasons), [cells, sweep, nameOf, project, texts, hasResults, hasReasons]);
  const isFiltered = Boolean(search.filter);

  if (names.isError && !names.data) return <ErrorState error={names.error} retry={() => void names.refetch()} />;
  // What is chosen may be elsewhere, though there is no row here.
  const bar = ticked.length ? (
    <Suspense fallback={null}>
      <ChosenBar ids={ticked} inSweep={sweep !== undefined} onChosen={(ids) => onSearch({ ...search, chosen: joined(ids) || undefined })} />
    </Suspense>
  ) : null;
  if (!isFiltered && query.data && total === 0 && !query.isPlaceholderData)
    return (
      <>
        {empty}
        {bar}
      </>
    );
  return (
    <div className={`runs ${className ?? ""}`}>
      <div className="tools">
        <FilterBox value={search.filter ?? ""} onChange={(filter) => onSearch({ ...search, filter: filter || undefined })} columns={known} error={query.error} />
        <ColumnPicker names={names.data} chosen={cells} standard={search.columns === undefined} onChange={(columns) => onSearch({ ...search, columns: columns === null ? undefined : joined(columns) })} />
        <GroupChoice names={names.data} value={search.by} inSweep={sweep !== undefined} onChange={(by) => onSearch({ ...search, by, of: by ? search.of : undefined, open: undefined })} />
        <span className="tools-count num" role="status">
          {query.data ? count(total, sweep ? "trial" : "run") : ""}
        </span>
      </div>
      {query.isError && !query.data ? (
        isFiltered && query.error instanceof Problem && query.error.status === 422 ? (
          <EmptyState title="This filter can't be read">
            Mend it, or{" "}
            <button type="button" className="link" onClick={() => onSearch({ ...search, filter: undefined })}>
              show all
            </button>
            . It is written like <code>val_loss &lt; 0.3 and config.optimizer == "adam"</code>
          </EmptyState>
        ) : (
          <ErrorState error={query.error} retry={() => void query.refetch()} />
        )
      ) : query.data && search.by ? (
        <Suspense fallback={<Loading what="groups" />}>
          <GroupTable by={search.by} table={table} search={search} onSearch={onSearch} names={names.data} sweep={sweep} nameOf={nameOf} cells={cells} hasResults={hasResults} live={live} />
        </Suspense>
      ) : query.data ? (
        <Table
          label={sweep ? "Trials" : "Runs"}
          columns={shown}
          count={total}
          row={row}
          rowKey={(run) => run.id}
          sort={sort}
          onSort={(by) => onSearch({ ...search, sort: by })}
          onOpen={(run) => void navigate({ to: "/runs/$run", params: { run: run.id } })}
          address={(run) => router.buildLocation({ to: "/runs/$run", params: { run: run.id } }).href}
          onSight={onSight}
          chosen={tickedSet}
          onChoose={pick}
          rowName={(run) => run.name}
          rest={sweep ? "All are in the export, under More." : undefined}
          empty={
            <EmptyState title="No run is like that">
              Nothing matches <code>{search.filter}</code>.{" "}
              <button type="button" className="link" onClick={() => onSearch({ ...search, filter: undefined })}>
                Show all
              </button>
            </EmptyState>
          }
        />
      ) : (
        <Loading what="runs" />
      )}
      {bar}
    </div>
  );
}

/** By what the runs are put together. */
function GroupChoice({ names, value, inSweep, onChange }: { names: Names | undefined; value: string | undefined; inSweep: boolean; onChange: (by: string | undefined) => void }) {
  const own = [["state", "state"], ...(inSweep ? [] : [["sweep", "sweep"]]), ["tags", "tag"]] as const;
  const keys = (names?.config ?? []).map((name) => [written("config", name), name] as const);
  const isKnown = !value || [...own, ...keys].some(([one]) => one === value);
  return (
    <select className="select" aria-label="Group by" value={value ?? ""} onChange={(event) => onChange(event.target.value || undefined)}>
      <option value="">Not grouped</option>
      {own.map(([one, text]) => (
        <option key={one} value={one}>
          by {text}
        </option>
      ))}
      {isKnown ? null : <option value={value}>by {value}</option>}
      {keys.length ? (
        <optgroup label="config">
          {keys.slice(0, MOST_KEYS).map(([one, text]) => (
            <option key={one} value={one}>
              by {text.length > 60 ? `${text.slice(0, 60)}…` : text}
            </option>
          ))}
        </optgroup>
      ) : null}
    </select>
  );
}

const MOST_KEYS = 300;

export type Names = { metrics: string[]; config: string[]; summary: string[]; attrs: string[] };

function expressions(names: Names | undefined): string[] {
  if (!names) return [...OWN];
  return [
    ...names.metrics.map((name) => (/^[A-Za-z_]\w*$/.test(name) && !(OWN as readonly string[]).includes(name) ? name : written("metrics", name))),
    ...names.config.map((name) => written("config", name)),
    ...OWN,
    ...names.summary.map((name) => written("summary", name)),
    ...names.attrs.map((name) => written("attrs", name)),
    ...names.metrics.flatMap((name) => ["min", "max", "last"].map((statistic) => `${written("metrics", name)}.${statistic}`)),
  ];
}

const isText = (value: unknown): boolean => typeof value === "string" && num(value) === null;

const LOOKED = 100;

/** What is worth showing of runs that have nothing in common but their project: the first metrics that many have, parameters that vary. */
function useGuess(project: string | undefined, wanted: boolean, names: Names | undefined): string[] | undefined {
  const asked = useMemo(() => (names ? [...names.metrics.slice(0, 20).map((name) => `metrics.${name}`), ...names.config.slice(0, 60).map((name) => `config.${name}`)] : []), [names]);
  const look = useQuery({ ...ask.someRuns({ project, sort: "-created", columns: asked }, LOOKED), enabled: wanted && names !== undefined, staleTime: 60_000 });
  return useMemo(() => {
    if (!look.data) return look.isError ? [] : undefined;
    const runs = look.data.runs;
    const having = (column: string): unknown[] => runs.map((run) => run.cells[column]).filter((value) => value !== undefined && value !== null);
    // A metric that is every trial's result stands in the column of results already.
    const isResult = (column: string): boolean => runs.every((run) => run.values !== null && num(run.cells[column]) === num(run.values[0]));
    const metrics = asked.filter((one) => one.startsWith("metrics.") && !isResult(one) && having(one).filter((value) => num(value) !== null).length >= Math.max(1, runs.length / 10));
    const varying = asked
      .filter((one) => one.startsWith("config."))
      .map((one) => ({ one, values: having(one) }))
      .filter(({ values }) => new Set(values.map((value) => JSON.stringify(value))).size > 1 && values.length >= runs.length / 10)
      .sort((a, b) => b.values.length - a.values.length)
      .map(({ one }) => one);
    return [...metrics.slice(0, 2), ...varying.slice(0, 6)];
  }, [look.data, look.isError, asked]);
}

function columnsOf(cells: readonly string[], sweep: SweepLine | undefined, nameOf: Map<string, string>, project: string | undefined, texts: ReadonlySet<string>, hasResults: boolean, hasReasons: boolean): Column<RunLine>[] {
  const first: Column<RunLine>[] = sweep ? [{ id: "number", title: "trial", width: 104, right: true, sort: "number", cell: (run) => <Opens run={run}>{run.number ?? "–"}</Opens> }] : [{ id: "name", title: "name", width: 170, sort: "name", cell: (run) => <Opens run={run}>{run.name}</Opens> }];
  const state: Column<RunLine> = { id: "state", title: "state", width: 112, sort: "state", cell: (run) => <State state={run.state} reason={run.reason} short /> };
  const of: Column<RunLine>[] = cells.map((name) => {
    const title = name.replace(/^(?:metrics|config|summary|attrs)\./, "");
    const isMetric = name.startsWith("metrics.");
    return { id: name, title, hint: name, width: Math.min(180, Math.max(isMetric ? 88 : 92, 36 + title.length * 7.5)), right: !texts.has(name), sort: name, ...plainly((run) => run.cells[name]) };
  });
  const metric: Column<RunLine>[] = sweep?.metrics[0]
    ? [{ id: "value", title: String(sweep.metrics[0]["name"]), hint: "the result; the best is marked", width: 104, right: true, sort: "value", ...RESULT }]
    : hasResults
      ? [{ id: "value", title: "result", hint: "of a sweep's trials: the metric that the sweep is for; the best of each sweep is marked", width: 104, right: true, sort: "value", ...RESULT }]
      : [];
  const others: Column<RunLine>[] = (sweep?.metrics ?? []).slice(1).map((one, i) => ({ id: `value ${i}`, title: String(one["name"]), width: 96, right: true, ...plainly((run) => run.values?.[i + 1]) }));
  const why: Column<RunLine>[] = hasReasons ? [{ id: "reason", title: "why", hint: "why it ended so", width: 200, sort: "reason", cell: (run) => run.reason, whole: (run) => run.reason || undefined }] : [];
  const where: Column<RunLine>[] = sweep
    ? []
    : [
        { id: "sweep", title: "sweep", width: 110, sort: "sweep", cell: (run) => (run.sweep ? <Link to="/sweeps/$sweep" params={{ sweep: run.sweep }} tabIndex={-1}>{nameOf.get(run.sweep) ?? run.sweep}</Link> : NOTHING) },
        ...(project ? [] : [{ id: "project", title: "project", width: 96, sort: "project", cell: (run: RunLine) => run.project }]),
      ];
  const rest: Column<RunLine>[] = [
    { id: "duration", title: "duration", width: 92, right: true, sort: "duration", cell: (run) => <Took started={run.started} ended={run.ended ?? (run.state === "lost" ? run.beat : null)} /> },
    { id: "created", title: "created", width: 104, right: true, sort: "created", cell: (run) => <Ago time={run.created} /> },
  ];
  return [...first, state, ...metric, ...others, ...of, ...rest, ...where, ...why];
}

/** A value as text. */
function plainly(of: (run: RunLine) => unknown): Pick<Column<RunLine>, "cell" | "whole"> {
  return { cell: (run) => (of(run) == null ? NOTHING : brief(of(run)).text), whole: (run) => brief(of(run)).whole };
}

const result = plainly((run) => run.values?.[0]);
const RESULT: typeof result = { ...result, cell: (run) => (run.best ? <strong className="best">{result.cell(run)}</strong> : result.cell(run)) };

function Opens({ run, children }: { run: RunLine; children: ReactNode }) {
  return (
    <Link to="/runs/$run" params={{ run: run.id }} tabIndex={-1} className="opens" title={run.name}>
      {children}
      {run.tags.map((tag) => (
        <span key={tag} className="tag">
          {tag}
        </span>
      ))}
    </Link>
  );
}
