/** A sweep file as a form. It changes the text in place: what it does not show stays as it is. */
import { memo, useCallback, useEffect, useMemo, useRef } from "react";
import { useQuery } from "@tanstack/react-query";
import type { Schemas } from "../api/client.ts";
import * as ask from "../api/queries.ts";
import { proposed, putOnly } from "../lib/conditions.ts";
import { bare, type Fault, isAt, placeOf } from "../lib/outlook.ts";
import { addRow, dropRow, type Kind, type MetricRow, putGood, putKind, putKnobs, putMethod, putMetrics, putPart, putStopper, putText, read, renamed, type Row, type Sheet, type TextKey } from "../lib/sheet.ts";
import { Button } from "./Button.tsx";
import { Conditions, type Parent } from "./Conditions.tsx";
import { Field } from "./Field.tsx";
import { Limits } from "./Limits.tsx";
import { sentence } from "./Status.tsx";

interface Props {
  text: string;
  sheet: Sheet;
  onChange: (text: string) => void;
  faults: readonly Fault[];
  known: Schemas["MethodsView"] | undefined;
}

export function SweepForm(props: Props) {
  const { text, sheet, onChange, faults } = props;
  const projects = useQuery(ask.projects).data;
  const wrong = (...paths: string[]): string | undefined => {
    const found = faults.find((fault) => paths.some((path) => isAt(fault, path)));
    return found && `${sentence(bare(found))} ${sentence(found.fix)}`;
  };
  const line = (key: TextKey, label: string, value: string, more: Partial<Parameters<typeof Field>[0]> = {}) => (
    <Field key={key} label={label} value={value} onChange={(typed) => onChange(putText(text, key, typed))} wrong={wrong(key)} {...more} />
  );
  return (
    <div className="sheet">
      <Parameters {...props} wrong={wrong} />
      <div className="sheet-group">
        <h3>Goal</h3>
        <Metrics {...props} wrong={wrong("metric", "metrics")} />
        {sheet.limits ? <Limits text={text} rows={sheet.limits} onChange={onChange} wrong={wrong} names={[...sheet.metrics.map((one) => one.name).filter(Boolean), "seconds"]} /> : null}
      </div>
      <div className="sheet-group">
        <h3>Search</h3>
        <div className="sheet-fields">
          <Plugin {...props} kind="method" wrong={wrong("method")} />
          <Plugin {...props} kind="stopper" wrong={wrong("early_terminate")} />
          {line("run_cap", "run cap", sheet.cap, { mode: "numeric", placeholder: "none: no end", hint: "the most trials, over all agents" })}
          {line("seed", "seed", sheet.seed, { mode: "numeric", placeholder: "drawn once", hint: "the same one proposes the same trials" })}
        </div>
      </div>
      <div className="sheet-group">
        <h3>Program</h3>
        <div className="sheet-fields">
          {line("program", "program", sheet.program, { placeholder: "train.py", hint: "a script, or -m module; none: a Python function" })}
          {line("command", "command", sheet.command, { placeholder: "${env} ${interpreter} ${program} ${args}", hint: "how it is called; ${args} is --name=value" })}
        </div>
      </div>
      <div className="sheet-group">
        <h3>Name</h3>
        <div className="sheet-fields">
          {line("name", "name", sheet.name, { placeholder: "made up" })}
          {line("project", "project", sheet.project, { placeholder: "default", list: projects?.map((one) => one.name) })}
          {line("description", "description", sheet.description, { className: "field-wide" })}
        </div>
      </div>
      {sheet.others.length ? (
        <p className="note">
          Kept as they are in the YAML: {sheet.others.map((key, i) => [i ? ", " : "", <code key={key}>{key}</code>])}.
        </p>
      ) : null}
    </div>
  );
}

// -- parameters ---------------------------------------------------------------------------------------------------------

const KINDS: readonly (readonly [Kind, string])[] = [
  ["float", "number"],
  ["int", "integer"],
  ["choice", "choices"],
  ["constant", "constant"],
];

function Parameters({ text, sheet, onChange, known, wrong }: Props & { wrong: (...paths: string[]) => string | undefined }) {
  const root = useRef<HTMLDivElement>(null);
  const fresh = useRef(false);
  const number = sheet.rows.length;
  useEffect(() => {
    if (!fresh.current) return;
    fresh.current = false;
    const input = [...(root.current?.querySelectorAll<HTMLInputElement>(".param-name input") ?? [])].at(-1);
    input?.focus();
    input?.select();
  }, [number]);
  const believes = known ? (known.methods.find((one) => one.name === sheet.method)?.knobs.includes("prior") ?? false) : true;
  // Rows that are as they were are not drawn again, of however many; so what they call must stay the same.
  const latest = useRef({ text, onChange });
  latest.current = { text, onChange };
  const act = useCallback((change: (text: string) => string | false): boolean => {
    const made = change(latest.current.text);
    if (made !== false) latest.current.onChange(made);
    return made !== false;
  }, []);
  const drop = useCallback((row: Row, i: number): void => {
    act((before) => dropRow(before, row));
    // The focus goes to what comes after, lest it be lost.
    requestAnimationFrame(() => {
      const all = [...(root.current?.querySelectorAll<HTMLElement>(".param > .param-drop, .param-add") ?? [])];
      all[Math.min(i, all.length - 1)]?.focus();
    });
  }, [act]);
  // What others are told of a parameter, the same as long as it is.
  const told = JSON.stringify(sheet.rows.map(({ name, kind, low, value }) => ({ name, kind, low, value })));
  const parents = useMemo(() => JSON.parse(told) as Parent[], [told]);
  const own = wrong("parameters");
  const isOwn = own !== undefined && !sheet.rows.some((row) => wrong(placeOf(row.path)));
  return (
    <div className="sheet-group" ref={root}>
      <h3>Parameters</h3>
      {number ? (
        <div className="param-rows" role="group" aria-label="Parameters">
          <div className="param param-head" aria-hidden="true">
            <span>name</span>
            <span>kind</span>
            <span className="param-range">
              <span>from</span>
              <span>to</span>
              <span className="param-step">step</span>
              <span className="param-log">log</span>
            </span>
            <span title="Tried first; the search begins around it (the method's prior)">good value</span>
          </div>
          {sheet.rows.map((row, i) => (
            <Parameter key={i} row={row} act={act} onDrop={drop} place={i} believes={believes} method={sheet.method} parents={row.only?.length ? parents : NONE} isAlone={number < 2} wrongWhen={wrong(`${placeOf(row.path)}.when`)} wrong={wrong(placeOf(row.path), `method.prior.${row.name}`)} />
          ))}
        </div>
      ) : (
        <p className="note">Nothing varies yet: add the first parameter, named as the script's flag.</p>
      )}
      {isOwn && number ? <p className="wrong">{own}</p> : null}
      <div>
        <Button
          className="param-add"
          onClick={() => {
            fresh.current = true;
            onChange(addRow(text));
          }}
        >
          Add a parameter
        </Button>
      </div>
    </div>
  );
}

interface ParameterProps {
  row: Row;
  /** Its place among the rows. */
  place: number;
  act: (change: (text: string) => string | false) => boolean;
  onDrop: (row: Row, place: number) => void;
  believes: boolean;
  method: string;
  /** The others, where a condition is about them. */
  parents: readonly Parent[];
  isAlone: boolean;
  /** What is wrong with its conditions. */
  wrongWhen: string | undefined;
  wrong: string | undefined;
}

const NONE: Parent[] = [];
const isSame = (a: ParameterProps, b: ParameterProps): boolean => a.wrong === b.wrong && a.place === b.place && a.believes === b.believes && a.method === b.method && a.parents === b.parents && a.isAlone === b.isAlone && a.wrongWhen === b.wrongWhen && a.act === b.act && a.onDrop === b.onDrop && JSON.stringify(a.row) === JSON.stringify(b.row);

const Parameter = memo(function Parameter({ row, place, act, onDrop, believes, method, parents, isAlone, wrongWhen, wrong: all }: ParameterProps) {
  const root = useRef<HTMLDivElement>(null);
  const wrong = wrongWhen ? undefined : all;
  const focus = (which: string): void => void requestAnimationFrame(() => [...(root.current?.querySelectorAll<HTMLElement>(which) ?? [])].at(-1)?.focus());
  const addCondition = (): void => {
    act((text) => {
      const now = read(text);
      const found = typeof now === "string" || !row.only ? null : proposed(row, now.rows);
      return found !== null && putOnly(text, row, [...(row.only ?? []), found]);
    });
    focus(".only > select, .only > .field:first-child input");
  };
  const part = (which: "low" | "high" | "step" | "value") => (typed: string) => void act((text) => putPart(text, row, which, typed));
  const called = (what: string): string => `${row.name}: ${what}`;
  const isRange = row.kind === "float" || row.kind === "int";
  return (
    <div ref={root} className="param" role="group" aria-label={row.name} data-wrong={all ? true : undefined}>
      <Field
        className="param-name"
        label="name"
        full={called("name")}
        seen={false}
        value={row.name}
        onChange={() => {}}
        onDone={(typed) => {
          const head = row.name.slice(0, row.name.length - (row.path.at(-1) ?? "").length);
          const name = (head && typed.startsWith(head) ? typed.slice(head.length) : typed).trim();
          return act((text) => renamed(text, row, name)) ? null : name ? `There is another ${name}.` : "It needs a name.";
        }}
        title={row.name}
      />
      <label className="field">
        <span className="field-name field-name-narrow">kind</span>
        <select className="select" aria-label={called("kind")} value={row.kind} onChange={(event) => act((text) => putKind(text, row, event.target.value as Kind))}>
          {KINDS.map(([kind, word]) => (
            <option key={kind} value={kind}>
              {word}
            </option>
          ))}
          {row.kind === "other" ? <option value="other">as in the YAML</option> : null}
        </select>
      </label>
      <div className="param-range">
        {isRange ? (
          <>
            <Field label="from" full={called("from")} seen={false} value={row.low} mode="decimal" onChange={part("low")} />
            <Field label="to" full={called("to")} seen={false} value={row.high} mode="decimal" onChange={part("high")} />
            <Field className="param-step" label="step" full={called("step")} seen={false} value={row.step} mode="decimal" placeholder="–" onChange={part("step")} />
            <label className="field param-log" title="Uniform in the logarithm">
              <span className="field-name field-name-narrow">log</span>
              <input type="checkbox" aria-label={called("on a log scale")} checked={row.log} onChange={(event) => act((text) => putPart(text, row, "log", event.target.checked ? "1" : ""))} />
            </label>
          </>
        ) : row.kind === "other" ? (
          <code className="param-other text" title={row.value}>
            {row.value || "nothing"}
          </code>
        ) : (
          <Field className="param-values" label={row.kind === "choice" ? "choices" : "value"} full={called(row.kind === "choice" ? "choices, with commas between them" : "value")} seen={false} value={row.value} onChange={part("value")} placeholder={row.kind === "choice" ? "a, b, c" : ""} />
        )}
      </div>
      {row.kind === "constant" ? (
        <span className="param-good nothing" />
      ) : (
        <Field className="param-good" label="good value" full={called("good value")} seen={false} value={row.good} disabled={!believes && !row.good} placeholder="–" title={believes ? "A value that is believed to be good: tried first, and the search begins around it" : `${method} takes no good values`} onChange={(typed) => act((text) => putGood(text, row, typed))} />
      )}
      <Button kind="quiet" className="param-if" aria-label={`${row.name}: only if …`} title={isAlone ? "There is no other parameter that it could depend on" : "It exists only with certain values of another"} disabled={isAlone} onClick={addCondition}>
        if
      </Button>
      <Button kind="quiet" className="param-drop" aria-label={`Leave ${row.name} out`} title="Leave it out" onClick={() => onDrop(row, place)}>
        ×
      </Button>
      {row.when || row.only?.length ? (
        <Conditions row={row} parents={parents} act={act} onDrop={() => focus(".only-drop, .param-if")} wrong={wrongWhen} />
      ) : null}
      {wrong ? <p className="wrong param-wrong">{wrong}</p> : null}
    </div>
  );
}, isSame);

// -- the goal -----------------------------------------------------------------------------------------------------------

function Metrics({ text, sheet, onChange, wrong }: Props & { wrong: string | undefined }) {
  const rows = sheet.metrics.map((row, from) => ({ ...row, from }));
  const shown: (MetricRow & { from?: number })[] = rows.length ? rows : [{ name: "", goal: "minimize" }];
  const put = (made: (MetricRow & { from?: number })[]): void => onChange(putMetrics(text, made));
  return (
    <>
      {shown.map((row, i) => {
        const called = shown.length > 1 ? `metric ${i + 1}` : "metric";
        return (
          <div key={i} className="metric" role="group" aria-label={called}>
            <Field label="metric" full={`${called}: name`} value={row.name} placeholder="val_loss" hint={i ? undefined : "as the code logs or prints it"} wrong={i ? undefined : wrong} onChange={(name) => put(shown.map((one, j) => (j === i ? { ...one, name } : one)))} />
            <label className="field">
              <span className="field-name">goal</span>
              <select className="select" aria-label={`${called}: goal`} value={row.goal} onChange={(event) => put(shown.map((one, j) => (j === i ? { ...one, goal: event.target.value as MetricRow["goal"] } : one)))}>
                <option value="minimize">minimize</option>
                <option value="maximize">maximize</option>
              </select>
            </label>
            {shown.length > 1 ? (
              <Button kind="quiet" aria-label={`Leave ${row.name || called} out`} onClick={() => put(shown.filter((_, j) => j !== i))}>
                ×
              </Button>
            ) : null}
          </div>
        );
      })}
      <div>
        <Button kind="quiet" onClick={() => put([...shown, { name: `metric_${shown.length + 1}`, goal: "minimize" }])}>
          Add another metric
        </Button>
      </div>
    </>
  );
}

function Plugin({ text, sheet, onChange, known, kind, wrong }: Props & { kind: "method" | "stopper"; wrong: string | undefined }) {
  const isMethod = kind === "method";
  const name = isMethod ? sheet.method : sheet.stopper;
  const knobs = isMethod ? sheet.methodKnobs : sheet.stopperKnobs;
  const all = (isMethod ? known?.methods : known?.stoppers) ?? [];
  const chosen = all.find((one) => one.name === name);
  const own = (chosen?.knobs ?? []).filter((knob) => knob !== "prior");
  const choose = (to: string): void => {
    const has = all.find((one) => one.name === to)?.knobs ?? [];
    onChange(isMethod ? putMethod(text, to, has) : putStopper(text, to, has));
  };
  return (
    <div className="plugin">
      <div className="field">
        <label htmlFor={`choose-${kind}`} className="field-name">
          {isMethod ? "method" : "early stopping"}
        </label>
        <select id={`choose-${kind}`} className="select" value={name} aria-describedby={`about-${kind}`} aria-invalid={wrong ? true : undefined} onChange={(event) => choose(event.target.value)}>
          {isMethod ? null : <option value="">none</option>}
          {name && !chosen ? <option>{name}</option> : null}
          {all.map((one) => (
            <option key={one.name} value={one.name} title={one.about}>
              {one.name}
            </option>
          ))}
        </select>
        <span id={`about-${kind}`} className={wrong ? "wrong" : "note"}>
          {wrong ?? (name ? (chosen?.about ?? "") : "Every trial runs to its end.")}
        </span>
      </div>
      {own.length || knobs ? <Field label={isMethod ? "its knobs" : "its knobs"} full={`${isMethod ? "method" : "early stopping"}: knobs`} value={knobs} placeholder={own.slice(0, 3).map((knob) => `${knob}: …`).join(", ")} title={own.length ? `${name} has ${own.join(", ")}` : undefined} onChange={() => {}} onDone={(typed) => {
        const made = putKnobs(text, isMethod ? "method" : "early_terminate", typed);
        if (made !== false) onChange(made);
        return made === false ? "Write them as name: value, name: value." : null;
      }} /> : null}
    </div>
  );
}
