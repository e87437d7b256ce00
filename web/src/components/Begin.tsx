/** What a new sweep begins with: a template, a run around which to search, a script's flags, or a sweep file. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useDeferredValue, useState } from "react";
import { api, ok, type Schemas } from "../api/client.ts";
import * as ask from "../api/queries.ts";
import { Button } from "./Button.tsx";
import { ErrorState, Loading, said } from "./Status.tsx";
import { Ago, Num } from "./Value.tsx";

/** The templates, one to be chosen. */
export function Templates({ chosen, onChoose }: { chosen: string | undefined; onChoose: (name: string) => void }) {
  const query = useQuery(ask.templates);
  if (query.isError && !query.data) return <ErrorState error={query.error} retry={() => void query.refetch()} />;
  if (!query.data) return <Loading what="the templates" />;
  return (
    <fieldset className="templates">
      <legend className="offscreen">Template</legend>
      {query.data.map((one) => (
        <label key={one.name} className="template">
          <input type="radio" name="template" checked={one.name === chosen} onChange={() => onChoose(one.name)} />
          <span>
            <span className="template-name">{one.name}</span>
            <span className="note">{one.about}</span>
          </span>
        </label>
      ))}
    </fieldset>
  );
}

/** A run to search around: found by a part of its name or its sweep's, the latest first. */
export function RunChoice({ chosen, onChoose }: { chosen: string | undefined; onChoose: (id: string | undefined) => void }) {
  const [text, setText] = useState("");
  const find = useDeferredValue(text.trim());
  const filter = find ? `${JSON.stringify(find)} in name or ${JSON.stringify(find)} in id` : 'state in ["finished", "running"]';
  const query = useQuery({ ...ask.someRuns({ columns: [], filter, sort: "-created" }, 8), enabled: chosen === undefined });
  const run = useQuery({ ...ask.run(chosen ?? ""), enabled: chosen !== undefined, refetchInterval: false });
  if (chosen !== undefined) {
    const found = run.data;
    return (
      <p className="begun">
        Around{" "}
        <Link to="/runs/$run" params={{ run: chosen }} className="begun-run">
          {found?.name ?? chosen}
        </Link>
        {found ? Object.entries(found.result ?? {}).map(([name, value]) => (
          <span key={name} className="note">
            {name} <Num value={value} />
          </span>
        )) : null}
        <Button kind="quiet" onClick={() => onChoose(undefined)}>
          Another run
        </Button>
      </p>
    );
  }
  return (
    <div className="found">
      <input id="filter" type="search" className="input" aria-label="Find a run" placeholder="A part of its name or id" value={text} onChange={(event) => setText(event.target.value)} />
      {query.isError ? (
        <p role="alert" className="wrong">
          {said(query.error).title} {said(query.error).fix}
        </p>
      ) : !query.data ? (
        <Loading what="the runs" />
      ) : query.data.runs.length ? (
        <ul aria-label="Runs">
          {query.data.runs.map((one) => (
            <li key={one.id}>
              <button type="button" className="link" onClick={() => onChoose(one.id)}>
                {one.name}
              </button>
              <span className="note">
                {one.project}
                {one.best ? ", best of its sweep" : ""}
              </span>
              <span className="found-value">{one.values?.length ? <Num value={one.values[0]} /> : null}</span>
              <span className="note found-ago">
                <Ago time={one.created} />
              </span>
            </li>
          ))}
        </ul>
      ) : (
        <p className="note">{find ? "No run is called like that." : "There are no runs yet: begin from a template, or from a script's flags."}</p>
      )}
    </div>
  );
}

/** What is pasted of a script; the server reads it, and runs nothing. */
export function Flags({ pasted, onPasted, onRead }: { pasted: string; onPasted: (text: string) => void; onRead: (made: Schemas["BeginningView"]) => void }) {
  const reading = useMutation({
    mutationFn: () => ok(api.POST("/api/v1/sweeps:flags", { body: { text: pasted } })),
    onSuccess: onRead,
  });
  const wrong = reading.isError ? said(reading.error) : null;
  return (
    <form
      className="pasting"
      onSubmit={(event) => {
        event.preventDefault();
        reading.mutate();
      }}
    >
      <label htmlFor="pasted">A command line, what --help prints, or the script itself. It is read, and never run.</label>
      <textarea
        id="pasted"
        rows={4}
        spellCheck={false}
        placeholder={"python train.py --lr 0.1 --layers 3"}
        value={pasted}
        aria-invalid={wrong ? true : undefined}
        aria-describedby={wrong ? "pasted-wrong" : undefined}
        onChange={(event) => {
          if (reading.isError) reading.reset();
          onPasted(event.target.value);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            event.stopPropagation();
            reading.mutate();
          }
        }}
      />
      {wrong ? (
        <p id="pasted-wrong" role="alert" className="wrong">
          {wrong.title} {wrong.fix}
        </p>
      ) : null}
      <Button type="submit" disabled={reading.isPending || !pasted.trim()} title="Ctrl+Enter">
        Read the flags
      </Button>
    </form>
  );
}

/** A sweep file of one's own. */
export function FileChoice({ onOpen }: { onOpen: (text: string) => void }) {
  return (
    <p className="begun">
      Write it below, or
      <label className="button file">
        Open a file
        <input
          type="file"
          className="offscreen"
          accept=".yaml,.yml,.json"
          onChange={async (event) => {
            const input = event.target;
            const file = input.files?.[0];
            if (file) onOpen(await file.text());
            input.value = "";
          }}
        />
      </label>
      <span className="note">Every sweep file of Weights &amp; Biases is one.</span>
    </p>
  );
}
