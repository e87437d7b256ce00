import { getRouteApi } from "@tanstack/react-router";
import { EmptyState } from "../components/Status.tsx";
import { Page } from "../components/Page.tsx";
import { ProjectChoice } from "../components/ProjectChoice.tsx";
import { RunTable, seen } from "../components/RunTable.tsx";

const route = getRouteApi("/runs");

/** All runs, or those of a project. */
export function Runs() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  return (
    <Page title="Runs" fill aside={<ProjectChoice value={search.project} onChange={(project) => void navigate({ search: { ...(project ? { project } : {}) } })} />}>
      <RunTable
        project={search.project}
        search={search}
        onSearch={(now) => void navigate({ search: { ...(search.project ? { project: search.project } : {}), ...seen(now) }, replace: now.filter === search.filter && now.by === search.by })}
        live
        empty={
          <EmptyState title="No runs yet" command="whet run train.py lr=loguniform[1e-4:1e-1] --minimize val_loss">
            Run a script that prints or logs a metric, as it is; or write <code>run = whet.init()</code> in it.
          </EmptyState>
        }
      />
    </Page>
  );
}
