/** What can be done with the runs that are chosen. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { api, ok, type RunLine } from "../api/client.ts";
import * as ask from "../api/queries.ts";
import { MOST_CHOSEN } from "../lib/chosen.ts";
import { MOST_BESIDE } from "../lib/compare.ts";
import { count } from "../lib/format.ts";
import { joined } from "../lib/search.ts";
import { Button } from "./Button.tsx";
import { Dialog } from "./Dialog.tsx";
import { PINNED } from "./RunTable.tsx";
import { TagMenu, useTags } from "./TagMenu.tsx";
import { useToasts } from "./Toast.tsx";

interface Props {
  ids: readonly string[];
  /** The rows of the table that are here: what is known of the chosen ones. */
  rows: readonly RunLine[];
  inSweep: boolean;
  onChosen: (ids: readonly string[]) => void;
}

export function ChosenBar({ ids, rows, inSweep, onChosen }: Props) {
  const session = useQuery(ask.session);
  const tag = useTags(ids);
  const [asking, setAsking] = useState(false);
  const chosen = new Set(ids);
  const known = rows.filter((run) => chosen.has(run.id));
  const isPinned = known.length > 0 && known.every((run) => run.tags.includes(PINNED));
  const scope = session.data?.scope;
  const runs = count(ids.length, inSweep ? "trial" : "run");
  const unseen = ids.length - known.length;
  return (
    <div className="chosen-bar" role="region" aria-label="Chosen runs">
      <span role="status">
        {runs} chosen{unseen ? <span className="note">, {unseen} of them not in sight here</span> : null}
        {ids.length >= MOST_CHOSEN ? <span className="note">: no more can be</span> : null}
      </span>
      {ids.length > 1 ? (
        <Link to="/compare/runs" search={{ ids: joined(ids) }} className="button button-main" title={ids.length > MOST_BESIDE ? `The first ${MOST_BESIDE} stand side by side` : undefined}>
          Compare{ids.length > MOST_BESIDE ? ` the first ${MOST_BESIDE}` : ""}
        </Link>
      ) : (
        <span className="note">Choose another to compare it with.</span>
      )}
      {scope === "read" ? null : (
        <>
          <TagMenu ids={ids} tags={known.map((run) => run.tags)} />
          <Button title={`The tag ${PINNED}: such runs stand first in every table`} onClick={() => void tag(isPinned ? { remove: [PINNED] } : { add: [PINNED] }, `${runs} ${isPinned ? "no longer pinned" : "pinned"}`)}>
            {isPinned ? "Unpin" : "Pin"}
          </Button>
        </>
      )}
      <a className="button" href={`/api/v1/runs:export?format=csv&${ids.map((id) => `id=${encodeURIComponent(id)}`).join("&")}`} download>
        CSV
      </a>
      {scope === "admin" && !inSweep ? (
        <Button kind="danger" onClick={() => setAsking(true)}>
          Delete …
        </Button>
      ) : null}
      <Button kind="quiet" onClick={() => onChosen([])}>
        Choose none
      </Button>
      {asking ? <Deleting ids={ids} known={known} onClose={() => setAsking(false)} onDone={(gone) => onChosen(ids.filter((id) => !gone.includes(id)))} /> : null}
    </div>
  );
}

function Deleting({ ids, known, onClose, onDone }: { ids: readonly string[]; known: readonly RunLine[]; onClose: () => void; onDone: (gone: readonly string[]) => void }) {
  const client = useQueryClient();
  const toasts = useToasts();
  const [busy, setBusy] = useState(false);
  const trials = new Set(known.filter((run) => run.sweep !== null).map((run) => run.id));
  const running = new Set(known.filter((run) => run.sweep === null && run.state === "running").map((run) => run.id));
  const able = ids.filter((id) => !trials.has(id) && !running.has(id));
  const go = async (): Promise<void> => {
    setBusy(true);
    try {
      await ok(api.POST("/api/v1/runs:delete", { body: { ids: able } }));
      toasts.tell(`${count(able.length, "run")} deleted`);
      onClose();
      onDone(able);
      await client.invalidateQueries({ queryKey: ["runs"] });
    } catch (error) {
      toasts.fail(error);
      onClose();
    }
  };
  return (
    <Dialog
      title={able.length ? `Delete ${count(able.length, "run")}?` : "None of these can be deleted"}
      onClose={onClose}
      actions={
        able.length ? (
          <Button kind="danger" disabled={busy} onClick={() => void go()}>
            Delete {count(able.length, "run")}
          </Button>
        ) : undefined
      }
    >
      {able.length ? <p>Their metrics and what they printed go with them. It can't be undone.</p> : null}
      {trials.size ? <p className="note">{count(trials.size, "trial")} of sweeps {trials.size === 1 ? "stays" : "stay"}: a sweep's history is not changed. Delete the sweep instead.</p> : null}
      {running.size ? <p className="note">{count(running.size, "run")} still running {running.size === 1 ? "stays" : "stay"}.</p> : null}
    </Dialog>
  );
}
