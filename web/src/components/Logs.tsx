import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { Problem, type RunView } from "../api/client.ts";
import * as ask from "../api/queries.ts";
import { bytes } from "../lib/format.ts";
import { Choice } from "./Button.tsx";
import { Section } from "./Page.tsx";
import { Command, EmptyState, ErrorState, Loading } from "./Status.tsx";

/** What a run printed; while it runs the end is kept in sight, unless the reader has scrolled up. */
export function Logs({ run, stream, onStream }: { run: RunView; stream: "stdout" | "stderr"; onStream: (stream: "stdout" | "stderr") => void }) {
  const query = useQuery(ask.logs(run.id, stream, run.ended === null));
  const box = useRef<HTMLPreElement>(null);
  const atEnd = useRef(true);
  const text = query.data?.text ?? "";
  useEffect(() => {
    if (atEnd.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [text]);
  const choice = <Choice label="Output" value={stream} options={[["stdout", "output"], ["stderr", "errors"]]} onChange={onStream} />;
  if (query.error instanceof Problem && query.error.status === 404)
    return (
      <Section title="Output" aside={choice}>
        <EmptyState title="Its output is not on the server's machine">
          Look where it ran: <Command text={`whet logs ${run.id}`} />
        </EmptyState>
      </Section>
    );
  if (query.isError && !query.data) return <ErrorState error={query.error} retry={() => void query.refetch()} />;
  if (!query.data) return <Loading what="the output" />;
  return (
    <Section title="Output" aside={choice}>
      {query.data.start > 0 ? <p className="note">The last lines; {bytes(query.data.start)} come before them. All of it: whet logs {run.id}</p> : null}
      {text ? (
        <pre
          ref={box}
          className="code log"
          tabIndex={0}
          onScroll={(event) => {
            const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
            atEnd.current = scrollHeight - scrollTop - clientHeight < 30;
          }}
        >
          {text}
        </pre>
      ) : (
        <p className="note">It has printed nothing.</p>
      )}
    </Section>
  );
}
