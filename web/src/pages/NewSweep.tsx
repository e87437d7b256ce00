import { useIsFetching, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useEffect, useId, useMemo, useRef, useState } from "react";
import { api, ok, Problem } from "../api/client.ts";
import * as ask from "../api/queries.ts";
import { FileChoice, Flags, RunChoice, Templates } from "../components/Begin.tsx";
import { Button, Choice } from "../components/Button.tsx";
import { Copy } from "../components/Copy.tsx";
import { Dialog } from "../components/Dialog.tsx";
import { Page, Section } from "../components/Page.tsx";
import { ErrorState, Loading, said } from "../components/Status.tsx";
import { SweepForm } from "../components/SweepForm.tsx";
import { SweepPreview } from "../components/SweepPreview.tsx";
import { YamlEditor } from "../components/YamlEditor.tsx";
import type { Known, Schema } from "../lib/complete.ts";
import { useKept } from "../lib/keeping.ts";
import type { Fault } from "../lib/outlook.ts";
import { changed } from "../lib/search.ts";
import { read } from "../lib/sheet.ts";
import "../new.css";

const route = getRouteApi("/sweeps/new");
const WAYS = [["template", "Template"], ["run", "Past run"], ["flags", "Script's flags"], ["yaml", "YAML"]] as const;
type Way = (typeof WAYS)[number][0];
const SOON_MS = 300;
const SKELETON = `# The script gets each value as a flag (--lr=0.01 …) and logs val_loss.
program: train.py
method: bayes
metric: {name: val_loss, goal: minimize}
parameters:
  lr: {min: 1e-5, max: 0.1, log: true}
  batch_size: {values: [32, 64, 128]}
run_cap: 30
`;

/** A new sweep: what it begins with, then the same file as a form or as text, beside it what it would do. */
export function NewSweep() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const [kept, keep] = useKept();
  const way: Way = WAYS.find(([one]) => one === search.from)?.[0] ?? "template";
  const go = (more: typeof search): void => void navigate({ search: changed(search, more), replace: true, resetScroll: false });

  const templates = useQuery({ ...ask.templates, enabled: way === "template" });
  const around = useQuery({ ...ask.around(search.run ?? ""), enabled: way === "run" && search.run !== undefined });
  const template = templates.data?.find((one) => one.name === search.template);
  const base = { template: template?.text, run: around.data?.text, flags: kept.flags?.text, yaml: SKELETON }[way];
  const slot = `${way}:${{ template: search.template, run: search.run, flags: "", yaml: "" }[way] ?? ""}`;
  const text = kept.texts[slot] ?? base;
  const isChosen = way === "template" ? search.template !== undefined : way === "run" ? search.run !== undefined : true;
  const write = (to: string | undefined): void => keep((before) => {
    const { [slot]: _, ...rest } = before.texts;
    return { ...before, texts: to === undefined || to === base ? rest : { ...rest, [slot]: to } };
  });
  // What would be written over is asked for first.
  const [instead, setInstead] = useState<(() => void) | null>(null);
  const isEdited = kept.texts[slot] !== undefined && kept.texts[slot] !== base;
  const over = (act: () => void): void => (isEdited ? setInstead(() => act) : act());
  const notices = way === "run" ? around.data?.notices : way === "flags" ? kept.flags?.notices : undefined;

  return (
    <Page title="New sweep" above={<Link to="/sweeps" search={{}}>Sweeps</Link>}>
      <Section title="Begin from" aside={<Choice label="Begin from" value={way} options={WAYS} onChange={(from) => go({ from: from === "template" ? undefined : from })} />} className="begin">
        {way === "template" ? (
          <Templates chosen={search.template} onChoose={(name) => go({ template: name })} />
        ) : way === "run" ? (
          <RunChoice chosen={search.run} onChoose={(run) => go({ run })} />
        ) : way === "flags" ? (
          <Flags
            pasted={kept.pasted}
            onPasted={(pasted) => keep((before) => ({ ...before, pasted }))}
            onRead={(made) =>
              over(() =>
                keep((before) => {
                  const { [slot]: _, ...texts } = before.texts;
                  return { ...before, texts, flags: made };
                }),
              )
            }
          />
        ) : (
          <FileChoice onOpen={(file) => over(() => write(file))} />
        )}
        {way === "template" && templates.data && search.template !== undefined && !template ? <p className="wrong" role="alert">There is no template {search.template}: choose one of these.</p> : null}
        {notices?.length ? (
          <ul className="notices">
            {notices.map((notice) => (
              <li key={notice} className="note">
                {notice}
              </li>
            ))}
          </ul>
        ) : null}
      </Section>
      {way === "run" && around.isError && text === undefined ? (
        <ErrorState error={around.error} retry={() => void around.refetch()} />
      ) : text !== undefined ? (
        <Draft
          key={slot}
          text={text}
          onText={write}
          face={search.face === "yaml" || (way === "yaml" && search.face !== "form") ? "yaml" : "form"}
          onFace={(face) => go({ face: face === (way === "yaml" ? "yaml" : "form") ? undefined : face })}
          onAnew={isEdited ? () => setInstead(() => () => write(undefined)) : undefined}
          onDone={(id) => {
            write(undefined);
            void navigate({ to: "/sweeps/$sweep", params: { sweep: id }, search: {} });
          }}
        />
      ) : isChosen && way !== "flags" && !(way === "template" && templates.data) ? (
        <Loading what="what it begins with" />
      ) : (
        <p className="note">{{ template: "Choose the template that is nearest to what you train: everything in it can be changed.", run: "Choose a run: the sweep searches around its configuration.", flags: "Each number becomes a range around its value, each list of choices a choice.", yaml: "" }[way]}</p>
      )}
      {instead ? (
        <Dialog
          title="Replace what you have written?"
          onClose={() => setInstead(null)}
          actions={
            <Button
              kind="danger"
              onClick={() => {
                instead();
                setInstead(null);
              }}
            >
              Replace it
            </Button>
          }
        >
          <p>Your changes to the sweep below are lost.</p>
        </Dialog>
      ) : null}
    </Page>
  );
}

interface DraftProps {
  text: string;
  onText: (text: string) => void;
  face: "form" | "yaml";
  onFace: (face: "form" | "yaml") => void;
  onAnew: (() => void) | undefined;
  onDone: (id: string) => void;
}

/** The file in the two ways to change it, what the server says of it, and the button that makes it a sweep. */
function Draft({ text, onText, face, onFace, onAnew, onDone }: DraftProps) {
  const id = useId();
  const client = useQueryClient();
  const scope = useQuery(ask.session).data?.scope;
  const may = scope === "write" || scope === "admin";
  const methods = useQuery(ask.methods).data;
  const schema = useQuery(ask.schema).data as Schema | undefined;
  const known = useMemo<Known | undefined>(() => (schema && methods ? { schema, plugins: { method: methods.methods, early_terminate: methods.stoppers } } : undefined), [schema, methods]);
  const sheet = useMemo(() => read(text), [text]);
  const settled = useSettled(text);
  const query = useQuery({ ...ask.preview(settled), enabled: may });
  const stale = settled !== text || query.isPlaceholderData;
  const busy = useIsFetching({ queryKey: ["preview"] }) > 0;

  // The same text sent again, after a server that was away, makes one sweep.
  const sent = useRef({ text: "", key: "" });
  const create = useMutation({
    mutationFn: (config: string) => {
      if (sent.current.text !== config) sent.current = { text: config, key: crypto.randomUUID?.() ?? String(Math.random()) };
      return ok(api.POST("/api/v1/sweeps", { params: { header: { "Idempotency-Key": sent.current.key } }, body: { config } }));
    },
    onSuccess: (sweep) => {
      void client.invalidateQueries({ queryKey: ["sweeps"] });
      onDone(sweep.id);
    },
  });
  const refused = create.isError && create.variables === text ? create.error : null;
  const isTaken = refused instanceof Problem && refused.status === 409;
  const faults = useMemo<Fault[]>(() => [...(query.data?.errors ?? []), ...(isTaken ? [{ problem: refused.message, fix: refused.fix, line: null, path: "name" }] : [])], [query.data, isTaken, refused]);
  const line = stale ? null : (faults[0]?.line ?? null);
  const isFine = may && !stale && !faults.length && query.isSuccess;
  const submit = (): void => {
    if (isFine && !create.isPending) create.mutate(text);
  };
  // What is sent is what stands there once the field that one is in has been taken over and the server has read it.
  const [isSent, setSent] = useState(false);
  const isReading = may && (stale || query.isPending);
  // While it reads the button is what it was: a press that takes a field over is not lost.
  const wasFine = useRef(false);
  if (!isReading) wasFine.current = isFine;
  useEffect(() => {
    if (!isSent || isReading) return;
    setSent(false);
    submit();
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [isSent, isReading]);

  return (
    <div
      className="new"
      onKeyDown={(event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
          event.preventDefault();
          setSent(true);
        }
      }}
    >
      <Section
        title="What it searches"
        aside={
          <>
            {onAnew ? (
              <Button kind="quiet" onClick={onAnew}>
                Undo all changes
              </Button>
            ) : null}
            <Copy text={text} label="Copy" what="the YAML" />
            <Choice label="Edit as" value={face} options={[["form", "Form"], ["yaml", "YAML"]]} onChange={onFace} />
          </>
        }
      >
        {face === "yaml" ? (
          <>
            <YamlEditor value={text} onChange={onText} known={known} line={line} describedBy={faults.length ? id : undefined} />
            <p className="note">
              <kbd>Ctrl</kbd> <kbd>Space</kbd> shows what may stand at the caret.
            </p>
          </>
        ) : typeof sheet === "string" ? (
          <div className="outlook-wrong" role="alert">
            <p className="outlook-problem">The form can't show this file: {sheet}.</p>
            <p>
              <Button onClick={() => onFace("yaml")}>Mend it in the YAML</Button>
            </p>
          </div>
        ) : (
          <SweepForm text={text} sheet={sheet} onChange={onText} faults={faults} known={methods} />
        )}
      </Section>
      <Section title="What it would do" className="new-side">
        {may ? (
          <SweepPreview query={query} faults={faults} id={id} stale={stale || busy}>
            <div className="creating">
              <Button kind="main" disabled={!wasFine.current || create.isPending} title="Ctrl+Enter" onClick={() => setSent(true)}>
                Create the sweep
              </Button>
              <span className="note">Nothing runs until an agent works on it.</span>
            </div>
            {refused && !isTaken ? (
              <div role="alert" className="outlook-wrong">
                <p className="outlook-problem">{said(refused).title}</p>
                <p>{said(refused).fix}</p>
              </div>
            ) : null}
          </SweepPreview>
        ) : (
          <div className="outlook">
            <p className="note">
              {scope === undefined ? "Asking who you are …" : "Your token may only look: it can neither try a sweep nor create one. Ask for one with scope write; or copy the YAML, and give it to somebody who has one."}
            </p>
          </div>
        )}
      </Section>
    </div>
  );
}

/** The text once nobody has typed for a moment. */
function useSettled(text: string): string {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), SOON_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}
