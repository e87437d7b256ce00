/** The questions that pages ask, each with its key. A page takes these; it never fetches by itself. */
import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { anyOf, both } from "../lib/filter.ts";
import type { Part } from "../lib/sight.ts";
import { api, ok, type RunLine, type Schemas, type SweepRow } from "./client.ts";

export const LIVE_MS = 5000;

export const session = queryOptions({
  queryKey: ["session"],
  queryFn: ({ signal }) => ok(api.GET("/api/v1/session", { signal })) as Promise<{ token: string | null; scope: "read" | "write" | "admin" | null; projects: string[] | null }>,
  staleTime: 60_000,
});

export const projects = queryOptions({
  queryKey: ["projects"],
  queryFn: ({ signal }) => ok(api.GET("/api/v1/projects", { signal })),
  staleTime: 15_000,
});

export const sweeps = (project?: string) =>
  queryOptions({
    queryKey: ["sweeps", project ?? null],
    queryFn: ({ signal }) => ok(api.GET("/api/v1/sweeps", { signal, params: { query: project ? { project } : {} } })) as unknown as Promise<SweepRow[]>,
    refetchInterval: LIVE_MS,
    placeholderData: keepPreviousData,
  });

export const sweep = (id: string) =>
  queryOptions({
    queryKey: ["sweep", id],
    queryFn: ({ signal }) => ok(api.GET("/api/v1/sweeps/{id}", { signal, params: { path: { id } } })),
  });

export const stats = (id: string) =>
  queryOptions({
    queryKey: ["sweep", id, "stats"],
    queryFn: ({ signal }) => ok(api.GET("/api/v1/sweeps/{id}/stats", { signal, params: { path: { id } } })),
  });

export const history = (id: string) =>
  queryOptions({
    queryKey: ["sweep", id, "history"],
    queryFn: ({ signal }) => ok(api.GET("/api/v1/sweeps/{id}/history", { signal, params: { path: { id } } })),
  });

/** The trials that a history marks: stopped early, and failed. */
export const marks = (id: string) =>
  queryOptions({
    queryKey: ["sweep", id, "marks"],
    queryFn: ({ signal }) => ok(api.GET("/api/v1/sweeps/{id}/marks", { signal, params: { path: { id } } })),
  });

/** So many axes are shown unless others are chosen. */
export const AXES = 7;

/** Thousands of lines: what is new of them is not worth being told apart from what is not. */
export const parallel = (id: string, params: readonly string[] | null) =>
  queryOptions({
    queryKey: ["sweep", id, "parallel", params],
    queryFn: ({ signal }) => ok(api.GET("/api/v1/sweeps/{id}/parallel-coordinates", { signal, params: { path: { id }, query: params ? { param: [...params] } : { most: AXES } } })),
    structuralSharing: false,
    placeholderData: keepPreviousData,
  });

/** A figure of the sweep, as plain data; what it holds depends on its name. */
export const figure = (id: string, name: string, params: readonly string[] = []) =>
  queryOptions({
    queryKey: ["sweep", id, "figure", name, params],
    queryFn: ({ signal }) => ok(api.GET("/api/v1/sweeps/{id}/figures/{figure}", { signal, params: { path: { id, figure: name }, query: { param: [...params] } } })),
    structuralSharing: false,
    placeholderData: keepPreviousData,
  });

export interface Table {
  project?: string | undefined;
  sweep?: string | undefined;
  filter?: string | undefined;
  sort?: string | undefined;
  columns: readonly string[];
  /** Those that are pinned alone (true), or the others. */
  pinned?: boolean | undefined;
}

/** A run that has this tag stands first. */
export const PINNED = "pinned";

const asked = ({ filter = "", pinned, ...table }: Table) => ({
  ...(table.project ? { project: table.project } : {}),
  ...(table.sweep ? { sweep: table.sweep } : {}),
  ...(filter || pinned !== undefined ? { filter: both(filter, pinned === undefined ? "" : `${pinned ? "" : "not "}${JSON.stringify(PINNED)} in tags`) } : {}),
  ...(table.sort ? { sort: table.sort } : {}),
  column: [...table.columns],
});

/** The same text for the same table. */
export const nameOf = (table: Table): string => JSON.stringify(table);

/** A part of the run table, of which it is, and where it lies there. */
export const runs = (table: Table, part: Part) =>
  queryOptions({
    queryKey: ["runs", "table", table, part],
    queryFn: async ({ signal }) => ({ ...(await ok(api.GET("/api/v1/runs", { signal, params: { query: { ...asked(table), limit: part.limit, offset: part.from } } }))), of: nameOf(table), isRest: table.pinned === false, from: part.from }),
    structuralSharing: false, // what is new of some hundred rows is not worth being told apart: few are in sight
    placeholderData: keepPreviousData,
  });

/** The first runs of a table, by themselves: for a look at what there is. */
export const someRuns = (table: Table, limit: number) =>
  queryOptions({
    queryKey: ["runs", "some", table, limit],
    queryFn: ({ signal }) => ok(api.GET("/api/v1/runs", { signal, params: { query: { ...asked(table), limit } } })),
    placeholderData: keepPreviousData,
  });

export const columns = (project?: string, sweepId?: string) =>
  queryOptions({
    queryKey: ["runs", "columns", project ?? null, sweepId ?? null],
    queryFn: ({ signal }) =>
      ok(api.GET("/api/v1/runs:columns", { signal, params: { query: { ...(project ? { project } : {}), ...(sweepId ? { sweep: sweepId } : {}) } } })),
    staleTime: 15_000,
    placeholderData: keepPreviousData,
  });

export const run = (id: string) =>
  queryOptions({
    queryKey: ["run", id],
    queryFn: ({ signal }) => ok(api.GET("/api/v1/runs/{run}", { signal, params: { path: { run: id } } })),
    refetchInterval: (query) => (query.state.data?.ended == null ? 2000 : false),
  });

export const curves = (id: string, x: "step" | "time", live: boolean) =>
  queryOptions({
    queryKey: ["run", id, "curves", x],
    queryFn: ({ signal }) => ok(api.GET("/api/v1/runs/{run}/metrics", { signal, params: { path: { run: id }, query: { x, max_points: 1000, name: [] } } })),
    refetchInterval: live ? 2000 : false,
    placeholderData: keepPreviousData,
  });

export const logs = (id: string, stream: "stdout" | "stderr", live: boolean) =>
  queryOptions({
    queryKey: ["run", id, "logs", stream],
    queryFn: ({ signal }) => ok(api.GET("/api/v1/runs/{run}/logs", { signal, params: { path: { run: id }, query: { stream, tail: 5000 } } })),
    refetchInterval: live ? 2000 : false,
    retry: false,
  });

export const artifacts = (id: string) =>
  queryOptions({
    queryKey: ["run", id, "artifacts"],
    queryFn: ({ signal }) => ok(api.GET("/api/v1/runs/{run}/artifacts", { signal, params: { path: { run: id } } })),
  });

/** Runs side by side. */
export const compared = (ids: readonly string[]) =>
  queryOptions({
    queryKey: ["runs", "compared", ids],
    queryFn: ({ signal }) => ok(api.GET("/api/v1/runs:compare", { signal, params: { query: { run: [...ids] } } })),
    placeholderData: keepPreviousData,
  });

/** Where a file that a run keeps is downloaded. */
export const fileAddress = (run: string, name: string): string =>
  `/api/v1/runs/${encodeURIComponent(run)}/artifacts/${name.split("/").map(encodeURIComponent).join("/")}`;

/** Those of these runs that there are, as lines of the table; asked again while one of them goes on. */
export const theseRuns = (ids: readonly string[]) =>
  queryOptions({
    queryKey: ["runs", "these", ids],
    queryFn: async ({ signal }): Promise<{ runs: RunLine[] }> => {
      const pages = await Promise.all(anyOf(ids).map((filter) => ok(api.GET("/api/v1/runs", { signal, params: { query: { filter, limit: 1000, column: [] } } }))));
      return { runs: pages.flatMap((page) => page.runs) };
    },
    refetchInterval: (query) => (query.state.data?.runs.some((run) => run.ended === null) ? LIVE_MS : false),
    placeholderData: keepPreviousData,
  });

/** Curves of several runs, by run and name. */
export const curvesOf = (ids: readonly string[], names: readonly string[], x: "step" | "time", live: boolean) =>
  queryOptions({
    queryKey: ["runs", "curves", ids, names, x],
    queryFn: ({ signal }) => ok(api.POST("/api/v1/metrics:query", { signal, body: { ids: [...ids], names: [...names], max_points: 500, x } })),
    refetchInterval: live ? LIVE_MS : false,
    structuralSharing: false,
    placeholderData: keepPreviousData,
  });

/** The runs of a table, put together by a column. */
export const groups = (table: Omit<Table, "columns" | "sort">, by: string, of: string | undefined, live: boolean) =>
  queryOptions({
    queryKey: ["runs", "groups", table, by, of ?? null],
    queryFn: ({ signal }) => ok(api.GET("/api/v1/runs:groups", { signal, params: { query: { ...(table.project ? { project: table.project } : {}), ...(table.sweep ? { sweep: table.sweep } : {}), ...(table.filter ? { filter: table.filter } : {}), by, ...(of ? { of } : {}), limit: 1000 } } })),
    refetchInterval: live ? LIVE_MS : false,
    placeholderData: keepPreviousData,
  });

/** Sweeps against each other. */
export const contest = (ids: readonly string[], metric: string | undefined) =>
  queryOptions({
    queryKey: ["sweeps", "contest", ids, metric ?? null],
    queryFn: ({ signal }) => ok(api.GET("/api/v1/sweeps:compare", { signal, params: { query: { ids: ids.join(","), ...(metric ? { metric } : {}) } } })) as unknown as Promise<Schemas["ContestView"]>,
    refetchInterval: (query) => (query.state.data?.sweeps.some((sweep) => sweep.state === "running") ? LIVE_MS : false),
    placeholderData: keepPreviousData,
  });

// -- new sweeps ----------------------------------------------------------------------------------------------------

export const templates = queryOptions({
  queryKey: ["templates"],
  queryFn: ({ signal }) => ok(api.GET("/api/v1/templates", { signal })),
  staleTime: Infinity,
});

export const methods = queryOptions({
  queryKey: ["methods"],
  queryFn: ({ signal }) => ok(api.GET("/api/v1/sweeps:methods", { signal })),
  staleTime: Infinity,
});

export const schema = queryOptions({
  queryKey: ["schema"],
  queryFn: ({ signal }) => ok(api.GET("/api/v1/sweeps:schema", { signal })),
  staleTime: Infinity,
});

/** A sweep file that searches around a run. */
export const around = (run: string) =>
  queryOptions({
    queryKey: ["around", run],
    queryFn: ({ signal }) => ok(api.GET("/api/v1/runs/{run}/around", { signal, params: { path: { run } } })),
    staleTime: Infinity,
  });

/** What a sweep file would do. */
export const preview = (text: string) =>
  queryOptions({
    queryKey: ["preview", text],
    queryFn: ({ signal }) => ok(api.POST("/api/v1/sweeps:preview", { signal, body: { config: text } })),
    staleTime: Infinity,
    gcTime: 60_000,
    placeholderData: keepPreviousData,
  });
