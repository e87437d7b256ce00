import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useEffect, useMemo, useRef, useState } from "react";
import { api, ok, type Stats, type SweepFull } from "../api/client.ts";
import { useLive } from "../api/live.ts";
import * as ask from "../api/queries.ts";
import { Charts } from "../charts/Charts.tsx";
import { Curves } from "../charts/Curves.tsx";
import { History } from "../charts/History.tsx";
import { Button, Choice } from "../components/Button.tsx";
import { Copy } from "../components/Copy.tsx";
import { Dialog } from "../components/Dialog.tsx";
import { Facts, Page, Section } from "../components/Page.tsx";
import { Bar, Progress } from "../components/Progress.tsx";
import { RunTable } from "../components/RunTable.tsx";
import { SweepMore } from "../components/SweepMore.tsx";
import { Command, EmptyState, ErrorState, Loading } from "../components/Status.tsx";
import { useToasts } from "../components/Toast.tsx";
import { Ago, Num, Span, State, Val } from "../components/Value.tsx";
import { count } from "../lib/format.ts";
import { changed } from "../lib/search.ts";
import { options, python, yaml } from "../lib/yaml.ts";

const route = getRouteApi("/sweeps/$sweep");

/** One sweep: the best first, then how it came about, then the trials. */
export function Sweep() {
  const { sweep: id } = route.useParams();
  const query = useQuery(ask.sweep(id));
  if (query.isError && !query.data) return <ErrorState whole error={query.error} retry={() => void query.refetch()} />;
  if (!query.data) return <Loading what="the sweep" />;
  return <Found key={query.data.id} sweep={query.data} />;
}

function Found({ sweep }: { sweep: SweepFull }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const live = useLive(sweep.id, sweep.revision);
  const stats = useQuery(ask.stats(sweep.id));
  const go = (more: typeof search): void => void navigate({ search: changed(search, more), replace: true, resetScroll: false });
  const config = useSame(sweep.config);
  const params = useMemo(() => varying(config), [config]);
  const first = useMemo(() => params.slice(0, 12).map((name) => `config.${name}`), [params]);
  const open = useOpen(sweep.id);
  const counts = stats.data?.counts;
  const isOver = sweep.state === "finished" || sweep.state === "canceled";

  return (
    <Page
      title={sweep.name}
      above={
        <>
          <Link to="/sweeps" search={{}}>
            Sweeps
          </Link>
          {" / "}
          <Link to="/sweeps" search={{ project: sweep.project }}>
            {sweep.project}
          </Link>
        </>
      }
      heading={
        <>
          <span className="title-text">{sweep.name}</span> <State state={sweep.state} reason={sweep.end_reason} of="sweep" />
          {isOver || !live ? null : <span className="live">live</span>}
        </>
      }
      aside={
        <>
          <Moves sweep={sweep} running={counts?.running ?? 0} />
          <SweepMore sweep={sweep} stats={stats.data} params={params} filter={search.filter ?? ""} />
        </>
      }
    >
      <div className="hero">
        <Best sweep={sweep} stats={stats.data} />
        <div className="hero-side">
          <Progress done={sweep.num_trials} of={sweep.cap} unit={sweep.num_trials === 1 && sweep.cap === null ? "trial" : "trials"} />
          {counts ? <Tally counts={counts} /> : null}
          <Facts
            of={[
              ["method", sweep.method],
              ["goal", sweep.metrics.map((metric) => `${metric["goal"]} ${metric["name"]}`).join(", ")],
              ["created", <Ago key="c" time={sweep.created} />],
              ...(stats.data?.seconds ? [["spent on trials", <Span key="s" seconds={stats.data.seconds} />] as const] : []),
              ...(sweep.end_reason ? [["ended", sweep.end_reason] as const] : []),
            ]}
          />
        </div>
      </div>
      {stats.isError ? <ErrorState error={stats.error} retry={() => void stats.refetch()} /> : null}
      {counts && counts.running === 0 && (sweep.state === "running" || (sweep.state === "pending" && sweep.num_trials === 0)) ? (
        <div className="hint">
          {sweep.num_trials ? "Nobody works on it." : "No trial yet: an agent asks for them and runs them."} On any machine that has the code:
          <Command text={toWork(sweep)} />
        </div>
      ) : null}
      {sweep.num_trials > 0 ? (
        <div className="two">
          <Progression sweep={sweep} counts={counts} log={search.log} onLog={(log) => go({ log })} onPick={open} />
          <Importance stats={stats.data} />
        </div>
      ) : null}
      {sweep.num_trials > 0 ? <Charts sweep={sweep} search={search} onSearch={go} params={params} onPick={open} /> : null}
      <Section title="Trials">
        <RunTable
          sweep={sweep}
          first={first}
          search={search}
          onSearch={({ filter, sort, columns, chosen, by, of, open }) => go({ filter, sort, columns, chosen, by, of, open })}
          live={false}
          className="runs-within"
          empty={<EmptyState title="No trials yet" {...(sweep.state === "paused" ? { command: toWork(sweep) } : {})}>An agent asks the sweep for trials and runs them. Start as many as you like, on any machine.</EmptyState>}
        />
      </Section>
      <Section title="Configuration" aside={<Copy text={yaml(sweep.config)} what="of the sweep" label="Copy as YAML" />}>
        {/* a long text scrolls by itself, so it can be reached by keyboard */}
        <pre className="code" tabIndex={0}>{yaml(sweep.config)}</pre>
      </Section>
    </Page>
  );
}

/** What works on a sweep: an agent where it has a program, else a call with the function that trains. */
const toWork = (sweep: SweepFull): string => {
  const address = `${location.origin}/${sweep.id}`;
  return sweep.config["program"] || sweep.config["command"] ? `whet agent ${address}` : `whet.agent(${JSON.stringify(address)}, train)`;
};

/** The parameters that vary, in the sweep's own order. */
function varying(config: SweepFull["config"]): string[] {
  const parameters = (config["parameters"] ?? {}) as Record<string, unknown>;
  const isFixed = (one: unknown): boolean => typeof one !== "object" || one === null || ("value" in one && !("values" in one));
  const names = (of: Record<string, unknown>, head: string): string[] =>
    Object.entries(of).flatMap(([name, one]) => {
      const nested = typeof one === "object" && one !== null && "parameters" in one ? (one as { parameters: Record<string, unknown> }).parameters : null;
      return nested ? names(nested, `${head}${name}.`) : isFixed(one) ? [] : [`${head}${name}`];
    });
  return names(parameters, "");
}

/** The configuration as it was while it is the same, though the sweep is another with every trial. */
function useSame(config: SweepFull["config"]): SweepFull["config"] {
  const text = JSON.stringify(config);
  return useMemo(() => JSON.parse(text) as SweepFull["config"], [text]);
}

/** To the run of a trial. */
function useOpen(sweep: string): (number: number) => void {
  const client = useQueryClient();
  const navigate = route.useNavigate();
  return async (number) => {
    const found = await client.fetchQuery(ask.someRuns({ sweep, filter: `number == ${number}`, columns: [] }, 1));
    const run = found.runs[0];
    if (run) void navigate({ to: "/runs/$run", params: { run: run.id } });
  };
}

function Best({ sweep, stats }: { sweep: SweepFull; stats: Stats | undefined }) {
  const isFront = sweep.metrics.length > 1;
  const best = stats?.best[0];
  const metric = String(sweep.metrics[0]?.["name"] ?? "");
  if (!stats) return <div className="hero-best" />;
  if (!best)
    return (
      <div className="hero-best">
        <div className="hero-label">best {metric}</div>
        <div className="hero-number nothing">–</div>
        <p className="note">No trial has a result yet{stats.counts.failed ? `; ${count(stats.counts.failed, "trial")} failed: the reasons are in the table` : ""}.</p>
      </div>
    );
  return (
    <div className="hero-best">
      {isFront ? (
        <>
          <div className="hero-label">{count(stats.best.length, "trial")} that no other beats in every metric</div>
          <Front sweep={sweep} stats={stats} />
        </>
      ) : (
        <>
          <div className="hero-label">
            best {metric}, trial {sweep.best_run && sweep.best_value === best.values[0] ? <Link to="/runs/$run" params={{ run: sweep.best_run }}>{best.number}</Link> : best.number}
          </div>
          <div className="hero-number">
            <Num value={best.values[0]} />
          </div>
        </>
      )}
      {isFront ? null : (
        <>
          <Facts className="params" of={Object.entries(best.params).map(([name, value]) => [name, <Val key={name} value={value} />] as const)} />
          <div className="copies">
            <span>Copy as</span>
            <Copy text={yaml(best.params)} label="YAML" what="of the best configuration" />
            <Copy text={python(best.params)} label="Python" what="of the best configuration" />
            <Copy text={options(best.params)} label="options" what="of the best configuration" />
          </div>
        </>
      )}
    </div>
  );
}

function Front({ sweep, stats }: { sweep: SweepFull; stats: Stats }) {
  return (
    <table className="plain">
      <thead>
        <tr>
          <th>trial</th>
          {sweep.metrics.map((metric) => (
            <th key={String(metric["name"])}>{String(metric["name"])}</th>
          ))}
        </tr>
      </thead>
      <tbody>
        {stats.best.slice(0, 6).map((one) => (
          <tr key={one.number}>
            <td className="num">{one.number}</td>
            {one.values.map((value, i) => (
              <td key={i}>
                <Num value={value} />
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const WORDS = [
  ["finished", "finished"],
  ["running", "running"],
  ["pending", "queued"],
  ["paused", "paused"],
  ["stopped", "stopped early"],
  ["failed", "failed"],
  ["canceled", "canceled"],
] as const;

function Tally({ counts }: { counts: Stats["counts"] }) {
  return (
    <div className="tally">
      {WORDS.map(([phase, word]) => {
        const number = phase === "finished" ? counts.finished - counts.stopped : counts[phase];
        return number ? (
          <span key={phase} className={phase === "failed" ? "bad" : ""}>
            <span className="num">{number.toLocaleString("en")}</span> {word}
          </span>
        ) : null;
      })}
    </div>
  );
}

function Progression({ sweep, counts, log, onLog, onPick }: { sweep: SweepFull; counts: Stats["counts"] | undefined; log: string | undefined; onLog: (log: string | undefined) => void; onPick: (number: number) => void }) {
  const query = useQuery(ask.history(sweep.id));
  const metric = sweep.metrics[0];
  const isFront = sweep.metrics.length > 1;
  const marks = useQuery({ ...ask.marks(sweep.id), enabled: !isFront });
  const volume = useMemo(() => {
    const pairs = isFront ? ((query.data ?? []) as [number, number][]) : [];
    return [{ name: "hypervolume", x: pairs.map(([number]) => number), y: pairs.map(([, size]) => size) }];
  }, [isFront, query.data]);
  if (isFront)
    return (
      <Section title="Progress" className="wide">
        {query.isError && !query.data ? <ErrorState error={query.error} /> : query.data ? <Curves title="What the front covers (hypervolume)" lines={volume} x="step" smoothing={0} log={false} height={240} over="trial" /> : <Loading what="the history" />}
      </Section>
    );
  return (
    <Section
      title="Progress"
      className="wide"
      aside={<Choice label="Scale" value={log === "1" ? "log" : log === "0" ? "linear" : "auto"} options={[["auto", "auto"], ["linear", "linear"], ["log", "log"]]} onChange={(scale) => onLog({ auto: undefined, linear: "0", log: "1" }[scale])} />}
    >
      {query.isError && !query.data ? (
        <ErrorState error={query.error} />
      ) : query.data && !query.data.length && !marks.data?.stopped.length ? (
        <p className="note">No trial has a result yet.</p>
      ) : query.data ? (
        <History milestones={query.data as never} marks={marks.data} counts={counts} metric={String(metric?.["name"])} maximize={metric?.["goal"] === "maximize"} log={log === undefined ? undefined : log === "1"} onPick={onPick} />
      ) : (
        <Loading what="the history" />
      )}
    </Section>
  );
}

function Importance({ stats }: { stats: Stats | undefined }) {
  const shares = stats?.importance ? Object.entries(stats.importance).sort(([, a], [, b]) => b - a) : null;
  return (
    <Section title="What matters">
      {shares ? (
        <>
          <p className="note">What sets the best tenth of the trials apart (PED-ANOVA).</p>
          <ul className="bars">
            {shares.slice(0, 10).map(([name, share]) => (
              <li key={name}>
                <span className="bars-name text" title={name}>
                  {name}
                </span>
                <Bar share={share} label={name} />
                <span className="num">{Math.round(share * 100)} %</span>
              </li>
            ))}
          </ul>
        </>
      ) : (
        <p className="note">{stats?.note || ""}</p>
      )}
    </Section>
  );
}

type Move = "start" | "pause" | "resume" | "finish" | "cancel";
const DONE: Record<Move, string> = { start: "started", pause: "paused", resume: "resumed", finish: "finished", cancel: "canceled" };

function Moves({ sweep, running }: { sweep: SweepFull; running: number }) {
  const client = useQueryClient();
  const { tell, fail } = useToasts();
  const scope = useQuery(ask.session).data?.scope;
  const [sure, setSure] = useState<Move | null>(null);
  const move = useMutation({
    mutationFn: (word: Move) => ok(api.POST(`/api/v1/sweeps/{id}/${word}`, { params: { path: { id: sweep.id } } })),
    onSuccess: (_, word) => {
      tell(`Sweep ${sweep.name} is ${DONE[word]}.`);
      void client.invalidateQueries({ queryKey: ["sweep", sweep.id] });
    },
    onError: fail,
  });
  const may = scope === "write" || scope === "admin";
  const why = may ? undefined : "This token may only look";
  const button = (word: Move, text: string, kind?: "main" | "danger") => (
    <Button {...(kind ? { kind } : {})} disabled={!may || move.isPending} title={why} onClick={() => (word === "finish" || word === "cancel" ? setSure(word) : move.mutate(word))}>
      {text}
    </Button>
  );
  const place = useRef<HTMLSpanElement>(null);
  const before = useRef(sweep.state);
  useEffect(() => {
    // The button that was pressed is gone: the next one has the focus, lest the keyboard begins at the top.
    if (before.current !== sweep.state && document.activeElement === document.body) (place.current?.querySelector("button") ?? document.getElementById("main"))?.focus();
    before.current = sweep.state;
  }, [sweep.state]);
  if (sweep.state === "finished" || sweep.state === "canceled") return <span ref={place} className="moves">{sweep.state === "finished" ? button("resume", "Reopen") : null}</span>;
  return (
    <span ref={place} className="moves">
      {sweep.state === "pending" ? button("start", "Start", "main") : sweep.state === "paused" ? button("resume", "Resume", "main") : button("pause", "Pause")}
      {sweep.state === "pending" ? null : button("finish", "Finish")}
      {button("cancel", "Cancel")}
      {sure ? (
        <Dialog
          title={sure === "cancel" ? `Cancel ${sweep.name}?` : `Finish ${sweep.name}?`}
          onClose={() => setSure(null)}
          actions={
            <Button
              kind={sure === "cancel" ? "danger" : "main"}
              onClick={() => {
                move.mutate(sure);
                setSure(null);
              }}
            >
              {sure === "cancel" ? "Cancel the sweep" : "Finish the sweep"}
            </Button>
          }
        >
          <p>
            {sure === "cancel"
              ? `${running ? `${count(running, "running trial")} will be ended, and no` : "No"} more trials begin. What was logged stays.`
              : `No more trials begin${running ? `; ${count(running, "running trial")} will go on to the end` : ""}. What was logged stays.`}
          </p>
        </Dialog>
      ) : null}
    </span>
  );
}
