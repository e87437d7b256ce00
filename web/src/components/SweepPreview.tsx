/** What a sweep file would do: how many trials, the first of them, and what is wrong with it. */
import type { UseQueryResult } from "@tanstack/react-query";
import { memo, type ReactNode } from "react";
import type { Schemas } from "../api/client.ts";
import { count } from "../lib/format.ts";
import { bare, type Fault, outlook } from "../lib/outlook.ts";
import { said, sentence } from "./Status.tsx";
import { Val } from "./Value.tsx";

interface Props {
  query: UseQueryResult<Schemas["PreviewView"], Error>;
  faults: readonly Fault[];
  /** The id of what says what is wrong. */
  id: string;
  /** What is shown is not yet that of the text. */
  stale: boolean;
  children: ReactNode;
}

export function SweepPreview({ query, faults, id, stale, children }: Props) {
  const found = query.data;
  const refused = query.isError ? said(query.error) : null;
  const view = found && !found.errors.length ? outlook(found) : null;
  return (
    <div className="outlook" aria-busy={stale}>
      {refused ? (
        <div id={id} role="alert" className="outlook-wrong">
          <p className="outlook-problem">{refused.title}</p>
          <p>{refused.fix}</p>
        </div>
      ) : faults.length ? (
        <div id={id} role="alert" className="outlook-wrong">
          {faults.map((fault, i) => (
            <div key={i}>
              <p className="outlook-place">{[fault.line === null ? "" : `line ${fault.line}`, fault.path].filter(Boolean).join(", ")}</p>
              <p className="outlook-problem">{sentence(bare(fault))}</p>
              <p>{sentence(fault.fix)}</p>
            </div>
          ))}
        </div>
      ) : null}
      {view && !refused ? (
        <div className={stale || faults.length ? "outlook-number outlook-old" : "outlook-number"} role="status">
          <p>
            <span className="hero-number">{view.number}</span> <span className="unit">{view.unit}</span>
          </p>
          <p className="note">{view.why}</p>
        </div>
      ) : !refused && !faults.length ? (
        <p className="note" role="status">
          Asking the server …
        </p>
      ) : null}
      {children}
      {found?.notices.map((notice) => (
        <p key={notice} className="note">
          {sentence(notice)}
        </p>
      ))}
      {found?.samples.length && !refused ? <Samples samples={found.samples} isAll={view !== null && found.num_trials !== null && found.samples.length >= found.num_trials} /> : null}
    </div>
  );
}

// They may have hundreds of columns, and change only when the server has answered.
const Samples = memo(function Samples({ samples, isAll }: { samples: readonly Record<string, unknown>[]; isAll: boolean }) {
  const names = [...new Set(samples.flatMap((one) => Object.keys(one)))];
  const title = isAll ? (samples.length === 1 ? "Its only configuration" : `All ${samples.length} configurations`) : `The first ${count(samples.length, "configuration")}, before any result`;
  return (
    <>
      <h3>{title}</h3>
      <div className="scroll samples" tabIndex={0} role="region" aria-label={title}>
        <table className="plain">
          <thead>
            <tr>
              <th className="num">trial</th>
              {names.map((name) => (
                <th key={name} title={name}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {samples.map((one, i) => (
              <tr key={i}>
                <th scope="row" className="num">
                  {i}
                </th>
                {names.map((name) => (
                  <td key={name}>
                    <Val value={one[name]} />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
});
