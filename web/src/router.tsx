/**
 * Which address shows which page. A page is loaded when it is first gone to, and what it will ask for is asked for meanwhile; what is seen of it is in
 * the address.
 */
import type { QueryClient } from "@tanstack/react-query";
import { createRootRouteWithContext, createRoute, createRouter, lazyRouteComponent, redirect } from "@tanstack/react-router";
import * as ask from "./api/queries.ts";
import { Shell } from "./components/Shell.tsx";
import { EmptyState, ErrorState } from "./components/Status.tsx";
import { parseSearch, stringifySearch } from "./lib/search.ts";

type Raw = Record<string, unknown>;
const text = (raw: Raw, key: string): string | undefined => (typeof raw[key] === "string" && raw[key] ? (raw[key] as string) : undefined);
/** Those of `keys` that the address has; what else stands there is nobody's. */
const only =
  <K extends string>(...keys: K[]) =>
  (raw: Raw): { [key in K]?: string | undefined } =>
    Object.fromEntries(keys.map((key) => [key, key === "columns" && raw[key] === "" ? "" : text(raw, key)]).filter(([, value]) => value !== undefined)) as { [key in K]?: string | undefined };

/** Ask for what a page will ask for, if its reader may. It does not wait: the page does, and says what failed. */
function early(client: QueryClient, questions: () => unknown): void {
  client
    .fetchQuery(ask.session)
    .then(({ scope }) => (scope === null ? undefined : questions()))
    .catch(() => {});
}

const root = createRootRouteWithContext<{ client: QueryClient }>()({
  component: Shell,
  errorComponent: ({ error }) => <ErrorState whole error={error} retry={() => location.reload()} />,
  notFoundComponent: () => (
    <EmptyState whole title="There is no such page">
      <a href="/runs">Go to the runs</a>
    </EmptyState>
  ),
});

const home = createRoute({ getParentRoute: () => root, path: "/", beforeLoad: () => { throw redirect({ to: "/runs", replace: true }); } });

export const runsRoute = createRoute({
  getParentRoute: () => root,
  path: "/runs",
  validateSearch: only("project", "filter", "sort", "columns", "chosen", "by", "of", "open"),
  loader: ({ context: { client }, location: { search } }) =>
    early(client, () => {
      const project = text(search, "project");
      void client.prefetchQuery(ask.columns(project));
      void client.prefetchQuery(ask.sweeps(project));
    }),
  staleTime: Infinity,
  component: lazyRouteComponent(() => import("./pages/Runs.tsx"), "Runs"),
});

export const runRoute = createRoute({
  getParentRoute: () => root,
  path: "/runs/$run",
  validateSearch: only("tab", "x", "log", "smooth", "find", "stream", "with"),
  component: lazyRouteComponent(() => import("./pages/Run.tsx"), "Run"),
});

export const sweepsRoute = createRoute({
  getParentRoute: () => root,
  path: "/sweeps",
  validateSearch: only("project", "state", "method", "sort", "chosen"),
  component: lazyRouteComponent(() => import("./pages/Sweeps.tsx"), "Sweeps"),
});

export const newSweepRoute = createRoute({
  getParentRoute: () => root,
  path: "/sweeps/new",
  validateSearch: only("from", "template", "run", "face"),
  component: lazyRouteComponent(() => import("./pages/NewSweep.tsx"), "NewSweep"),
});

export const sweepRoute = createRoute({
  getParentRoute: () => root,
  path: "/sweeps/$sweep",
  validateSearch: only("filter", "sort", "columns", "chosen", "by", "of", "open", "log", "chart", "axes", "flip", "params"),
  loader: ({ context: { client }, params: { sweep }, cause, location: { search } }) =>
    early(client, async () => {
      const found = await client.fetchQuery(ask.sweep(sweep));
      if (cause === "preload" || !found.num_trials) return; // perhaps it is only pointed at
      void client.prefetchQuery(ask.stats(found.id));
      void client.prefetchQuery(ask.history(found.id));
      if (found.metrics.length === 1) void client.prefetchQuery(ask.marks(found.id));
      void client.prefetchQuery(ask.columns(undefined, found.id));
      const { chart, axes } = search as Raw;
      if ((chart ?? "parallel") === "parallel" && !axes) void client.prefetchQuery(ask.parallel(found.id, null));
    }),
  staleTime: Infinity,
  preloadStaleTime: 0, // who pointed at it has gone there now
  component: lazyRouteComponent(() => import("./pages/Sweep.tsx"), "Sweep"),
});

export const compareRunsRoute = createRoute({
  getParentRoute: () => root,
  path: "/compare/runs",
  validateSearch: only("ids", "diff", "x", "log", "smooth", "find", "hide"),
  component: lazyRouteComponent(() => import("./pages/CompareRuns.tsx"), "CompareRuns"),
});

export const compareSweepsRoute = createRoute({
  getParentRoute: () => root,
  path: "/compare/sweeps",
  validateSearch: only("ids", "metric", "diff", "show", "log", "hide", "each"),
  component: lazyRouteComponent(() => import("./pages/CompareSweeps.tsx"), "CompareSweeps"),
});

export const router = createRouter({
  routeTree: root.addChildren([home, runsRoute, runRoute, sweepsRoute, newSweepRoute, sweepRoute, compareRunsRoute, compareSweepsRoute]),
  parseSearch: (search) => parseSearch(search),
  stringifySearch,
  defaultPreload: "intent",
  scrollRestoration: true,
  context: { client: undefined as unknown as QueryClient }, // main.tsx has it
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
