/** Runs put together by what they have in a column: how many, and what they reached; a group is opened to see its runs. */
import { useQueries, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useRouter } from "@tanstack/react-router";
import { useMemo } from "react";
import { Problem, type RunLine, type Schemas, type SweepLine } from "../api/client.ts";
import * as ask from "../api/queries.ts";
import { sameAs } from "../lib/compare.ts";
import { both, written } from "../lib/filter.ts";
import { count, num } from "../lib/format.ts";
import { joined, parted } from "../lib/search.ts";
import type { Names, TableSearch } from "./RunTable.tsx";
import { EmptyState, ErrorState, Loading } from "./Status.tsx";
import { type Column, Table } from "./Table.tsx";
import { NOTHING, Num, State, Val } from "./Value.tsx";

interface Props {
  by: string;
  table: ask.Table;
  search: TableSearch;
  onSearch: (search: TableSearch) => void;
  names: Names | undefined;
  sweep: SweepLine | undefined;
  nameOf: Map<string, string>;
  cells: readonly string[];
  hasResults: boolean;
  live: boolean;
}

type Group = Schemas["GroupView"];
type Row = { kind: "group"; key: string; group: Group; isOpen: boolean } | { kind: "run"; key: string; run: RunLine } | { kind: "more"; key: string; group: Group; left: number };

const MOST_RUNS = 50;

export function GroupTable({ by, table, search, onSearch, names, sweep, nameOf, cells, hasResults, live }: Props) {
  const navigate = useNavigate();
  const router = useRouter();
  const metrics = useMemo(() => [...(sweep || hasResults ? [["value", sweep ? String(sweep.metrics[0]?.["name"] ?? "result") : "result"] as const] : []), ...(names?.metrics ?? []).filter((name) => name !== sweep?.metrics[0]?.["name"]).map((name) => [written("metrics", name), name] as const)], [names, sweep, hasResults]);
  const of = search.of ?? (sweep || hasResults ? "value" : (cells.find((name) => name.startsWith("metrics.")) ?? metrics[0]?.[0]));
  const asked = { project: table.project, sweep: table.sweep, filter: table.filter };
  const query = useQuery(ask.groups(asked, by, of, live));
  const open = useMemo(() => parted(search.open) ?? [], [search.open]);
  const goal = query.data?.goal ?? null;
  const all = query.data?.groups;
  const opened = useMemo(() => (all ?? []).filter((group) => open.includes(JSON.stringify(group.value))), [all, open]);
  const within = (group: Group): string => both(search.filter ?? "", sameAs(by, group.value));
  // Nothing says "no tag" in the language of filters: those runs are not shown one by one.
  const canOpen = (group: Group): boolean => sameAs(by, group.value) !== "";
  const runs = useQueries({
    queries: opened.filter(canOpen).map((group) => ask.someRuns({ ...asked, filter: within(group), sort: of ? `${goal === "maximize" ? "-" : ""}${of}` : "-created", columns: of && of !== "value" ? [of] : [] }, MOST_RUNS)),
  });
  const rows = useMemo(() => {
    const shown = opened.filter(canOpen);
    return (all ?? []).flatMap((group): (Row | undefined)[] => {
      const key = JSON.stringify(group.value);
      const at = shown.indexOf(group);
      const head: Row = { kind: "group", key, group, isOpen: at >= 0 };
      if (at < 0) return [head];
      const found = runs[at]?.data?.runs;
      if (!found) return [head, undefined];
      const left = group.num_runs - found.length;
      return [head, ...found.map((run): Row => ({ kind: "run", key: `${key} ${run.id}`, run })), ...(left > 0 ? [{ kind: "more" as const, key: `${key} more`, group, left }] : [])];
    });
  }, [all, opened, runs, by]); // eslint-disable-line react-hooks/exhaustive-deps
  const toggle = (group: Group): void => {
    const key = JSON.stringify(group.value);
    if (canOpen(group)) onSearch({ ...search, open: joined(open.includes(key) ? open.filter((one) => one !== key) : [...open, key]) || undefined });
  };
  const alone = (group: Group): TableSearch => ({ ...search, by: undefined, of: undefined, open: undefined, filter: within(group) || undefined });
  const show = (row: Row): void => {
    if (row.kind === "group") toggle(row.group);
    else if (row.kind === "run") void navigate({ to: "/runs/$run", params: { run: row.run.id } });
    else onSearch(alone(row.group));
  };
  if (query.isError && !query.data) return query.error instanceof Problem && query.error.status === 422 ? <EmptyState title="Runs can't be put together by that">{query.error.message}</EmptyState> : <ErrorState error={query.error} retry={() => void query.refetch()} />;
  if (!query.data) return <Loading what="groups" />;
  const title = metrics.find(([one]) => one === of)?.[1] ?? of ?? "";
  return (
    <>
      <div className="tools">
        {metrics.length ? (
          <select className="select" aria-label="Summed up" value={of} onChange={(event) => onSearch({ ...search, of: event.target.value })}>
            {metrics.some(([one]) => one === of) ? null : <option value={of}>of {of}</option>}
            {metrics.map(([one, text]) => (
              <option key={one} value={one}>
                of {text}
              </option>
            ))}
          </select>
        ) : null}
        <span className="tools-count num" role="status">
          {count(query.data.total, "group")}
          {query.data.total > query.data.groups.length ? `, the ${query.data.groups.length} greatest are shown` : ""}
        </span>
      </div>
      <Table label="Groups of runs" columns={columnsOf(title, goal, by, of, nameOf)} count={rows.length} row={(index) => rows[index]} rowKey={(row) => row.key} onOpen={show} address={(row) => (row.kind === "run" ? router.buildLocation({ to: "/runs/$run", params: { run: row.run.id } }).href : null)} empty={<EmptyState title="No run is like that">Nothing matches the filter.</EmptyState>} />
    </>
  );
}

function columnsOf(title: string, goal: "minimize" | "maximize" | null, by: string, of: string | undefined, nameOf: Map<string, string>): Column<Row>[] {
  const number = (value: number | null) => (value === null ? NOTHING : <Num value={value} />);
  const best = (group: Group): number | null => (goal === "maximize" ? group.greatest : group.least);
  const worst = (group: Group): number | null => (goal === "maximize" ? group.least : group.greatest);
  const valueOf = (run: RunLine): unknown => (of === "value" ? run.values?.[0] : of ? run.cells[of] : null);
  return [
    {
      id: "group",
      title: by.replace(/^config\./, ""),
      width: 240,
      cell: (row) =>
        row.kind === "group" ? (
          <span className="opens" title={label(row.group.value, by, nameOf)}>
            {sameAs(by, row.group.value) ? <span role="img" aria-label={row.isOpen ? "open" : "closed"} className="unit">{row.isOpen ? "▾ " : "▸ "}</span> : null}
            {row.group.value === null ? <span className="nothing">none</span> : label(row.group.value, by, nameOf)}
          </span>
        ) : row.kind === "run" ? (
          <Link to="/runs/$run" params={{ run: row.run.id }} tabIndex={-1} className="opens within" title={row.run.name}>
            {row.run.name}
          </Link>
        ) : (
          <span className="within link">{row.left.toLocaleString("en")} more, in the table</span>
        ),
    },
    { id: "runs", title: "runs", width: 116, right: true, cell: (row) => (row.kind === "group" ? <span className="num">{row.group.num_runs.toLocaleString("en")}</span> : row.kind === "run" ? <State state={row.run.state} reason={row.run.reason} short /> : null) },
    { id: "best", title: `${goal === null ? "least" : "best"} ${title}`, hint: goal === null ? "it is not known which way is better" : goal, width: 150, right: true, cell: (row) => (row.kind === "group" ? <strong>{number(best(row.group))}</strong> : row.kind === "run" ? num(valueOf(row.run)) === null ? NOTHING : <Val value={valueOf(row.run)} /> : null) },
    {
      id: "mean",
      title: "mean ± spread",
      hint: "the mean of those that have a value, and their standard deviation",
      width: 170,
      right: true,
      cell: (row) =>
        row.kind === "group" ? (
          <>
            {number(row.group.mean)}
            {row.group.deviation === null ? null : (
              <span className="unit">
                {" "}
                ± <Num value={row.group.deviation} />
              </span>
            )}
          </>
        ) : null,
    },
    { id: "worst", title: goal === null ? "greatest" : "worst", width: 110, right: true, cell: (row) => (row.kind === "group" ? number(worst(row.group)) : null) },
    { id: "values", title: "with a value", width: 100, right: true, cell: (row) => (row.kind === "group" ? <span className="num">{row.group.num_values.toLocaleString("en")}</span> : null) },
  ];
}

function label(value: unknown, by: string, nameOf: Map<string, string>): string {
  if (value === null) return "none";
  if (by === "sweep") return nameOf.get(String(value)) ?? String(value);
  return String(value);
}
