/** A sweep's charts, one at a time; those after the first are loaded when they are looked at. */
import { useQuery } from "@tanstack/react-query";
import { lazy, type ReactNode, Suspense, useMemo } from "react";
import { Problem, type SweepFull } from "../api/client.ts";
import * as ask from "../api/queries.ts";
import { ColumnPicker } from "../components/ColumnPicker.tsx";
import { Section } from "../components/Page.tsx";
import { ErrorState, Loading, said } from "../components/Status.tsx";
import { joined, parted } from "../lib/search.ts";
import { Parallel } from "./Parallel.tsx"; // the first to be seen

const Responses = lazy(() => import("./Responses.tsx").then((file) => ({ default: file.Responses })));
const Contour = lazy(() => import("./Contour.tsx").then((file) => ({ default: file.Contour })));
const Correlation = lazy(() => import("./Correlation.tsx").then((file) => ({ default: file.Correlation })));
const Stopping = lazy(() => import("./Stopping.tsx").then((file) => ({ default: file.Stopping })));
const Timeline = lazy(() => import("./Timeline.tsx").then((file) => ({ default: file.Timeline })));
const Trajectories = lazy(() => import("./Trajectories.tsx").then((file) => ({ default: file.Trajectories })));
const Front = lazy(() => import("./Front.tsx").then((file) => ({ default: file.Front })));

export interface ChartSearch {
  filter?: string | undefined;
  chart?: string | undefined;
  axes?: string | undefined;
  flip?: string | undefined;
  params?: string | undefined;
}

interface Props {
  sweep: SweepFull;
  search: ChartSearch;
  onSearch: (search: ChartSearch) => void;
  /** The parameters that vary. */
  params: readonly string[];
  onPick: (number: number) => void;
}

export interface ChartProps extends Props {
  maximize: readonly boolean[];
}

/** How metrics are called that are hyperparameters which a trial moves itself. */
export const MOVED = "hyper/";

const NAMES = {
  parallel: "Side by side",
  front: "Front",
  response: "Response",
  contour: "Two at once",
  correlation: "Correlation",
  stopping: "Early stopping",
  trajectories: "Trajectories",
  timeline: "Timeline",
} as const;
type Name = keyof typeof NAMES;

export function Charts(props: Props) {
  const { sweep, search, onSearch } = props;
  const columns = useQuery(ask.columns(undefined, sweep.id));
  const offered: Partial<Record<Name, boolean>> = {
    front: sweep.metrics.length > 1,
    stopping: sweep.config["early_terminate"] !== undefined || sweep.metrics.length === 1,
    trajectories: columns.data?.metrics.some((name) => name.startsWith(MOVED)) ?? false,
  };
  const names = (Object.keys(NAMES) as Name[]).filter((name) => (offered[name] ?? true) || (search.chart === name && name !== "front"));
  const chart = names.find((name) => name === search.chart) ?? "parallel";
  const goals = sweep.metrics.map((metric) => metric["goal"] === "maximize").join();
  const maximize = useMemo(() => goals.split(",").map((goal) => goal === "true"), [goals]);
  const all = { ...props, maximize };
  const address = (name: Name): string => {
    const query = new URLSearchParams(location.search);
    query.set("chart", name);
    return `?${query}`;
  };
  return (
    <Section title="Charts">
      <div className="charts">
        <nav className="tabs" aria-label="Charts">
          {names.map((name) => (
            <a
              key={name}
              href={address(name)}
              aria-current={name === chart ? "page" : undefined}
              onClick={(event) => {
                if (event.metaKey || event.ctrlKey || event.shiftKey) return;
                event.preventDefault();
                onSearch({ chart: name === "parallel" ? undefined : name, params: undefined });
              }}
            >
              {NAMES[name]}
            </a>
          ))}
        </nav>
        <div className="charts-body">
          <Suspense fallback={<Loading what="the chart" />}>
            {{ parallel: <SideBySide {...all} />, front: <Front {...all} />, response: <Responses {...all} />, contour: <Contour {...all} />, correlation: <Correlation {...all} />, stopping: <Stopping {...all} />, trajectories: <Trajectories {...all} />, timeline: <Timeline {...all} /> }[chart]}
          </Suspense>
        </div>
      </div>
    </Section>
  );
}

function SideBySide({ sweep, search, onSearch, params, maximize, onPick }: ChartProps) {
  const metrics = sweep.metrics.map((metric) => String(metric["name"]));
  const axes = useMemo(() => parted(search.axes), [search.axes]);
  const flipped = useMemo(() => parted(search.flip) ?? [], [search.flip]);
  const wanted = useMemo(() => axes?.filter((name) => params.includes(name)) ?? null, [axes, params]);
  const asked = useMemo(() => (wanted?.length ? [...wanted].sort() : null), [wanted]); // the same ones in another order are not asked for again
  const query = useQuery(ask.parallel(sweep.id, asked));
  const shown = query.data?.axes.map((axis) => axis.name) ?? [];
  if (query.isError && !query.data) return <Refused error={query.error} retry={() => void query.refetch()} />;
  if (!query.data) return <Loading what="the trials" />;
  if (!query.data.lines.length) return <p className="note">No trial has a result yet: each will be a line over its parameters.</p>;
  return (
    <>
      {params.length > 1 ? (
        <div className="pair">
          <ColumnPicker
            names={{ config: [...params], metrics: [], summary: [], attrs: [] }}
            chosen={(axes ?? shown).filter((name) => params.includes(name)).map((name) => `config.${name}`)}
            standard={axes === null}
            onChange={(columns) => {
              const names = columns?.map((one) => one.replace(/^config\./, ""));
              onSearch({ axes: names?.length ? joined([...names, ...metrics]) : undefined });
            }}
            label="Axes"
          />
          {axes === null && params.length > shown.length - metrics.length ? <span className="note">
              {shown.length - metrics.length} of {params.length} parameters: those that matter most, as far as the trials tell
            </span> : null}
        </div>
      ) : null}
      <Parallel data={query.data} maximize={maximize} filter={search.filter ?? ""} onFilter={(filter) => onSearch({ filter: filter || undefined })} axes={axes} flipped={flipped} onAxes={(names, flip) => onSearch({ axes: names ? joined(names) : undefined, flip: flip.length ? joined(flip) : undefined })} onPick={onPick} />
    </>
  );
}

/** What the server says where there is too little for a chart: that is no failure of the page. */
export function Refused({ error, retry }: { error: unknown; retry: () => void }): ReactNode {
  if (!(error instanceof Problem) || error.status === 0 || error.status >= 500 || error.status === 404) return <ErrorState error={error} retry={retry} />;
  const { title, fix } = said(error);
  return (
    <p className="note">
      {title} {fix}
    </p>
  );
}
