import { useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { lazy, type ReactNode, Suspense, useEffect, useMemo, useRef } from "react";
import type { RunView } from "../api/client.ts";
import * as ask from "../api/queries.ts";
import { Curves, type Line } from "../charts/Curves.tsx";
import { Choice } from "../components/Button.tsx";
import { Copy } from "../components/Copy.tsx";
import { CurveTools, smoothingOf } from "../components/CurveTools.tsx";
import { Logs } from "../components/Logs.tsx";
import { Item, Menu } from "../components/Menu.tsx";
import { Facts, Page, Section } from "../components/Page.tsx";
import { Command, EmptyState, ErrorState, Loading } from "../components/Status.tsx";
import { Ago, Num, State, Took, Val } from "../components/Value.tsx";
import { again } from "../lib/again.ts";
import { bytes, count, num, plain } from "../lib/format.ts";
import { flat } from "../lib/flat.ts";
import { changed, joined } from "../lib/search.ts";
import { options, python, yaml } from "../lib/yaml.ts";

const route = getRouteApi("/runs/$run");
const TagMenu = lazy(() => import("../components/TagMenu.tsx").then((found) => ({ default: found.TagMenu })));
const TABS = [["", "Overview"], ["config", "Config"], ["logs", "Logs"], ["files", "Files"], ["origin", "Origin"]] as const;
type Tab = (typeof TABS)[number][0];

/** One run: what came out first, then its curves; the rest behind tabs. */
export function Run() {
  const { run: id } = route.useParams();
  const query = useQuery(ask.run(id));
  if (query.isError && !query.data) return <ErrorState whole error={query.error} retry={() => void query.refetch()} />;
  if (!query.data) return <Loading what="the run" />;
  return <Found key={query.data.id} run={query.data} />;
}

function Found({ run }: { run: RunView }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const go = (more: typeof search): void => void navigate({ search: changed(search, more), replace: true, resetScroll: false });
  const tab = (TABS.find(([one]) => one === (search.tab ?? "")) ?? TABS[0])[0];
  const sweep = useQuery({ ...ask.sweep(run.sweep ?? ""), enabled: run.sweep !== null });
  useLast(run);
  return (
    <Page
      title={run.name}
      above={
        <>
          {run.sweep ? (
            <Link to="/sweeps/$sweep" params={{ sweep: run.sweep }}>
              {sweep.data?.name ?? "sweep"}
            </Link>
          ) : (
            <Link to="/runs" search={{ project: run.project }}>
              {run.project}
            </Link>
          )}
          {run.number === null ? null : ` / trial ${run.number}`}
        </>
      }
      heading={
        <>
          <span className="title-text">{run.name}</span> <State state={run.state} />
          {run.best ? <span className="tag tag-best">best of its sweep</span> : null}
          {run.tags.map((tag) => (
            <span key={tag} className="tag">
              {tag}
            </span>
          ))}
        </>
      }
      aside={
        <>
          <With run={run} best={sweep.data?.best_run ?? null} />
          <Link to="/sweeps/new" search={{ from: "run", run: run.id }} className="button">
            Search around this run
          </Link>
        </>
      }
    >
      {run.reason ? <p className={run.state === "failed" || run.state === "lost" ? "reason bad" : "reason"}>{run.reason}</p> : null}
      {run.notes ? <p className="reason">{run.notes}</p> : null}
      <nav className="tabs" aria-label="Parts of the run">
        {TABS.map(([one, text]) => (
          <Link key={one} from="/runs/$run" to="." search={(before) => { const { tab: _, ...rest } = before; return one ? { ...rest, tab: one } : rest; }} replace resetScroll={false} activeOptions={{ exact: true, includeSearch: true }}>
            {text}
          </Link>
        ))}
      </nav>
      <Part tab={tab} run={run} search={search} go={go} />
    </Page>
  );
}

/** Where this run is put beside others; its tags. */
function With({ run, best }: { run: RunView; best: string | null }) {
  const navigate = useNavigate();
  const beside = (ids: string[]): void => void navigate({ to: "/compare/runs", search: { ids: joined(ids) } });
  return (
    <>
      <Suspense fallback={null}>
        <TagMenu ids={[run.id]} tags={[run.tags]} />
      </Suspense>
      <Menu label="Compare with" align="right">
        {() => (
          <>
            {best && best !== run.id ? <Item onSelect={() => beside([run.id, best])}>the best of its sweep</Item> : null}
            {run.parent ? <Item onSelect={() => beside([run.id, run.parent as string])}>the run that it continues</Item> : null}
            {run.sweep ? <Item onSelect={() => void navigate({ to: "/sweeps/$sweep", params: { sweep: run.sweep as string }, search: { chosen: run.id, sort: "value" } })}>other trials, from the table</Item> : null}
            <Item onSelect={() => void navigate({ to: "/runs", search: { project: run.project, chosen: run.id } })}>other runs, from the table</Item>
          </>
        )}
      </Menu>
    </>
  );
}

/** As a run ends, what is shown of it is asked for once more: its last points and lines come with its end. */
function useLast(run: RunView): void {
  const client = useQueryClient();
  const before = useRef(run.ended);
  useEffect(() => {
    if (before.current === null && run.ended !== null) void client.invalidateQueries({ queryKey: ["run", run.id] });
    before.current = run.ended;
  }, [client, run.id, run.ended]);
}

interface PartProps {
  run: RunView;
  search: ReturnType<typeof route.useSearch>;
  go: (more: ReturnType<typeof route.useSearch>) => void;
}

function Part({ tab, ...props }: PartProps & { tab: Tab }) {
  const { run, search, go } = props;
  if (tab === "config") return <Config {...props} />;
  if (tab === "logs") return <Logs run={run} stream={search.stream === "stderr" ? "stderr" : "stdout"} onStream={(stream) => go({ stream: stream === "stderr" ? stream : undefined })} />;
  if (tab === "files") return <Files run={run} />;
  if (tab === "origin") return <Origin run={run} />;
  return <Overview {...props} />;
}

function Overview(props: PartProps) {
  const { run } = props;
  const results = Object.entries(run.result ?? {});
  const summary = Object.entries(run.summary).filter(([name]) => !(name in run.metrics) && !(run.result && name in run.result));
  const shown = results.length ? results : Object.entries(run.metrics).slice(0, 3).map(([name, stat]) => [name, stat.last] as const);
  const params = Object.keys(run.params).length ? run.params : Object.fromEntries(flat(run.config).slice(0, 12));
  return (
    <>
      <div className="hero">
        <div className="hero-best">
          <div className="results">
            {shown.map(([name, value], i) => (
              <div key={name}>
                <div className="hero-label">{name}</div>
                <div className={i === 0 ? "hero-number" : "hero-number hero-second"}>
                  <Num value={value} />
                </div>
              </div>
            ))}
            {shown.length ? null : <p className="note">Nothing has been logged yet.</p>}
          </div>
          <Facts className="params" of={Object.entries(params).map(([name, value]) => [name, <Val key={name} value={value} />] as const)} />
        </div>
        <div className="hero-side">
          <Facts
            of={[
              ["project", <Link key="p" to="/runs" search={{ project: run.project }}>{run.project}</Link>],
              ["duration", <Took key="d" started={run.started} ended={run.ended ?? (run.state === "lost" ? run.beat : null)} />],
              ["created", <Ago key="c" time={run.created} />],
              ...(run.group ? [["group", run.group] as const] : []),
              ...(run.attempt ? [["attempt", run.attempt + 1] as const] : []),
              ...(run.parent ? [["continues", <Link key="r" to="/runs/$run" params={{ run: run.parent }}>{run.parent}</Link>] as const] : []),
              ["id", <span key="i"><code>{run.id}</code> <Copy text={run.id} what="the id" /></span>],
            ]}
          />
        </div>
      </div>
      <Drawn {...props} />
      {summary.length ? (
        <Section title="Summary">
          <Facts className="params" of={summary.map(([name, value]) => [name, <Val key={name} value={value} />] as const)} />
        </Section>
      ) : null}
      {Object.keys(run.metrics).length ? (
        <Section title="Metrics">
          <div className="scroll" tabIndex={0} role="region" aria-label="Metrics in figures">
            <table className="plain">
              <thead>
                <tr>
                  <th>metric</th>
                  {["last", "min", "at step", "max", "at step", "points"].map((name, i) => (
                    <th key={i}>{name}</th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {Object.entries(run.metrics).map(([name, stat]) => (
                  <tr key={name}>
                    <th scope="row">{name}</th>
                    {[stat.last, stat.min, stat.min_step, stat.max, stat.max_step, stat.count].map((value, i) => (
                      <td key={i}>
                        <Num value={value} />
                      </td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </Section>
      ) : null}
      <RunAgain run={run} />
    </>
  );
}

/** A curve by itself: the same one as long as its points are. */
const alone = (name: string, line: Omit<Line, "name">): Line[] => {
  const kept = ALONE.get(line) ?? [{ name, x: line.x, y: line.y }];
  ALONE.set(line, kept);
  return kept;
};
const ALONE = new WeakMap<object, Line[]>();
const MOST_CURVES = 60;
const MACHINE = "system/";

function Drawn({ run, search, go }: PartProps) {
  const x = search.x === "time" ? "time" : "step";
  const smoothing = smoothingOf(search);
  const log = search.log === "1";
  const query = useQuery(ask.curves(run.id, x, run.ended === null));
  const find = (search.find ?? "").toLowerCase();
  const results = Object.keys(run.result ?? {}).join("\n");
  const lines = useMemo(() => {
    const rank = (name: string): number => (results.split("\n").includes(name) ? 0 : name.startsWith(MACHINE) ? 2 : 1);
    // One value of the machine's says nothing as a curve.
    const drawn = Object.entries(query.data ?? {}).filter(([name, line]) => line.x.length > (rank(name) === 2 ? 1 : 0));
    return drawn.sort(([a], [b]) => rank(a) - rank(b));
  }, [query.data, results]);
  const shown = useMemo(() => lines.filter(([name]) => name.toLowerCase().includes(find)).map(([name, line]) => ({ name, lines: alone(name, line) })), [lines, find]);
  if (query.isError && !query.data) return <ErrorState error={query.error} retry={() => void query.refetch()} />;
  if (!query.data) return <Loading what="the curves" />;
  if (!lines.length) return null;
  return (
    <Section
      title="Curves"
      aside={<CurveTools search={search} go={go} count={lines.length} over={["step", "time"]} />}
    >
      <div className="curves">
        {shown.slice(0, MOST_CURVES).map(({ name, lines: one }) => (
          <Curves key={name} title={name} lines={one} x={x} smoothing={smoothing} log={log} />
        ))}
      </div>
      {shown.length > MOST_CURVES ? <p className="note">{shown.length - MOST_CURVES} more: find them by name.</p> : null}
      {shown.length ? null : <p className="note">No curve is called like that.</p>}
    </Section>
  );
}

function Config({ run, search, go }: PartProps) {
  const all = useMemo(() => flat(run.config), [run.config]);
  const find = (search.find ?? "").toLowerCase();
  const shown = all.filter(([name, value]) => name.toLowerCase().includes(find) || String(value).toLowerCase().includes(find));
  if (!all.length)
    return (
      <EmptyState title="This run has no configuration">
        Give it one: <code>whet.init(config={"{"}…{"}"})</code>
      </EmptyState>
    );
  return (
    <>
      <Difference run={run} search={search} go={go} />
      <Section
        title={count(all.length, "value")}
        aside={
          <>
            <input id="filter" type="search" className="input" aria-label="Find a value" placeholder="Find a value" value={search.find ?? ""} onChange={(event) => go({ find: event.target.value || undefined })} />
            <Copy text={yaml(run.config)} label="YAML" what="of the configuration" />
            <Copy text={python(run.config)} label="Python" what="of the configuration" />
            <Copy text={options(run.config)} label="options" what="of the configuration" />
          </>
        }
      >
        <Facts className="long" of={shown.map(([name, value]) => [<span key={name} className={name in run.params ? "varies" : ""} title={name in run.params ? "suggested by the sweep" : undefined}>{name}</span>, <Val key="v" value={value} />] as const)} />
        {shown.length ? null : <p className="note">Nothing in it is like that.</p>}
      </Section>
    </>
  );
}

/** Where its configuration differs from that of the best of its sweep, or of the run that it continues. */
function Difference({ run, search, go }: PartProps) {
  const sweep = useQuery({ ...ask.sweep(run.sweep ?? ""), enabled: run.sweep !== null });
  const best = sweep.data?.best_run;
  const others = [...(best && best !== run.id ? [["best", best] as const] : []), ...(run.parent && run.parent !== best ? [["parent", run.parent] as const] : [])];
  const [word, other] = others.find(([one]) => one === search.with) ?? others[0] ?? ["", ""];
  const query = useQuery({ ...ask.compared([run.id, other]), enabled: other !== "" });
  if (other === "") return null;
  const rows = query.data?.config.filter((row) => row.differs) ?? [];
  const title = word === "best" ? "Unlike the best of its sweep" : "Unlike the run that it continues";
  return (
    <Section title={title} aside={others.length > 1 ? <Choice label="Beside" value={word} options={[["best", "the best"], ["parent", "its parent"]]} onChange={(one) => go({ with: one === "parent" ? one : undefined })} /> : null}>
      {query.isError ? (
        <ErrorState error={query.error} retry={() => void query.refetch()} />
      ) : !query.data ? (
        <Loading what="both" />
      ) : rows.length ? (
        <div className="scroll" tabIndex={0} role="region" aria-label={title}>
          <table className="plain">
            <thead>
              <tr>
                <th>value</th>
                <th>this run</th>
                <th>
                  <Link to="/runs/$run" params={{ run: other }}>
                    {query.data.names[1]}
                  </Link>
                </th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <tr key={row.key}>
                  <th scope="row">{row.key}</th>
                  {row.values.map((value, i) => (
                    <td key={i}>
                      <Val value={value} />
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : (
        <p className="note">Their configurations are the same.</p>
      )}
    </Section>
  );
}

function Files({ run }: { run: RunView }) {
  const query = useQuery(ask.artifacts(run.id));
  if (query.isError) return <ErrorState error={query.error} retry={() => void query.refetch()} />;
  if (!query.data) return <Loading what="the files" />;
  if (!query.data.length)
    return (
      <EmptyState title="This run keeps no files">
        In its code: <code>run.save("model.pt")</code>
      </EmptyState>
    );
  return (
    <Section title={count(query.data.length, "file")}>
      <div className="scroll" tabIndex={0} role="region" aria-label="Files">
        <table className="plain">
          <thead>
            <tr>
              <th>file</th>
              <th className="left">kind</th>
              <th>size</th>
              <th className="left">content</th>
              <th className="left">SHA-256</th>
            </tr>
          </thead>
          <tbody>
            {query.data.map((file) => (
              <tr key={file.name}>
                <th scope="row" title={file.path}>
                  {file.here ? (
                    <a href={ask.fileAddress(run.id, file.name)} download>
                      {file.name}
                    </a>
                  ) : (
                    file.name
                  )}
                </th>
                <td className="left">{file.kind}</td>
                <td className="num" title={`${file.size} bytes`}>
                  {bytes(file.size)}
                </td>
                <td className="left">{file.here ? "here" : file.received ? `${Math.floor((100 * file.received) / Math.max(1, file.size))} % here` : "where it ran"}</td>
                <td className="left">
                  <code title={file.sha256}>{file.sha256.slice(0, 12)}</code> <Copy text={file.sha256} what={`the digest of ${file.name}`} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <Command text={`whet artifacts get ${run.id}`} />
    </Section>
  );
}

/** The commands that make it again. */
function RunAgain({ run }: { run: RunView }) {
  const made = again(run.meta, run.params);
  if (made === null) return null;
  return (
    <Section title="To run it again">
      <Command text={made.lines} />
      {made.notes.map((note) => (
        <p key={note} className="note">
          {note}
        </p>
      ))}
    </Section>
  );
}

function Origin({ run }: { run: RunView }) {
  const facts = flat(run.meta);
  const rows: (readonly [ReactNode, ReactNode])[] = facts.map(([name, value]) => [name, num(value) !== null ? <Val key={name} value={value} /> : <span key={name} className="wrap">{plain(value)}</span>] as const);
  return (
    <Section title="Where it comes from">
      {rows.length || run.folder ? <Facts className="long" of={[...rows, ...(run.folder ? [["folder", <span key="f" className="wrap">{run.folder}</span>] as const] : [])]} /> : <p className="note">Nothing is known.</p>}
    </Section>
  );
}
