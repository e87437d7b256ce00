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
import { ErrorState, Loading } from "./Status.tsx";
import { TagMenu, useTags } from "./TagMenu.tsx";
import { useToasts } from "./Toast.tsx";

interface Props {
  ids: readonly string[];
  inSweep: boolean;
  onChosen: (ids: readonly string[]) => void;
}

export function ChosenBar({ ids, inSweep, onChosen }: Props) {
  const session = useQuery(ask.session);
  const tag = useTags(ids);
  const [asking, setAsking] = useState(false);
  const query = useQuery({ ...ask.theseRuns(ids), refetchInterval: false });
  const known = (query.data?.runs ?? []).filter((run) => ids.includes(run.id));
  const isPinned = known.length > 0 && known.every((run) => run.tags.includes(ask.PINNED));
  const scope = session.data?.scope;
  const runs = count(ids.length, inSweep ? "trial" : "run");
  const numGone = query.data && !query.isPlaceholderData ? ids.length - known.length : 0;
  return (
    <div className="chosen-bar" role="region" aria-label="Chosen runs">
      <span role="status">
        {runs} chosen{numGone ? <span className="note">, {numGone} of them not there any more</span> : null}
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
          <Button title={`The tag ${ask.PINNED}: such runs stand first in every table`} onClick={() => void tag(isPinned ? { remove: [ask.PINNED] } : { add: [ask.PINNED] }, `${runs} ${isPinned ? "no longer pinned" : "pinned"}`)}>
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
      {asking ? <Deleting ids={ids} onClose={() => setAsking(false)} onDone={(gone) => onChosen(ids.filter((id) => !gone.includes(id)))} /> : null}
    </div>
  );
}

/** To the server a run whose process is gone still runs, until somebody ends it. */
const isRunning = (run: RunLine): boolean => run.state === "running" || run.state === "lost";

/** Of all that are chosen, those in sight or not, as they are now. */
function Deleting({ ids, onClose, onDone }: { ids: readonly string[]; onClose: () => void; onDone: (gone: readonly string[]) => void }) {
  const client = useQueryClient();
  const toasts = useToasts();
  const [busy, setBusy] = useState(false);
  const query = useQuery({ ...ask.theseRuns(ids), refetchOnMount: "always" });
  const runs = query.isFetchedAfterMount ? query.data?.runs : undefined;
  const numTrials = runs?.filter((run) => run.sweep !== null).length ?? 0;
  const numRunning = runs?.filter((run) => run.sweep === null && isRunning(run)).length ?? 0;
  const numGone = ids.length - (runs?.length ?? ids.length);
  const able = runs?.filter((run) => run.sweep === null && !isRunning(run)).map((run) => run.id) ?? [];
  const go = async (): Promise<void> => {
    setBusy(true);
    try {
      await ok(api.POST("/api/v1/runs:delete", { body: { ids: able } }));
      toasts.tell(`${count(able.length, "run")} deleted`);
      onClose();
      onDone(ids.filter((id) => able.includes(id) || !runs?.some((run) => run.id === id)));
      await client.invalidateQueries({ queryKey: ["runs"] });
    } catch (error) {
      toasts.fail(error);
      onClose();
    }
  };
  return (
    <Dialog
      title={able.length ? `Delete ${count(able.length, "run")}?` : runs ? "None of these can be deleted" : "Delete runs?"}
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
      {runs ? null : query.isError ? <ErrorState error={query.error} retry={() => void query.refetch()} /> : <Loading what="the runs" />}
      {numTrials ? <p className="note">{count(numTrials, "trial")} of sweeps {numTrials === 1 ? "stays" : "stay"}: a sweep's history is not changed. Delete the sweep instead.</p> : null}
      {numRunning ? <p className="note">{count(numRunning, "run")} still running {numRunning === 1 ? "stays" : "stay"}.</p> : null}
      {numGone ? <p className="note">{count(numGone, "run")} {numGone === 1 ? "is" : "are"} not there any more.</p> : null}
    </Dialog>
  );
}
