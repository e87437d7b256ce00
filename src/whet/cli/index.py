"""``whet index``: runs that other tools wrote."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whet.cli import format as shown
from whet.cli import output, session
from whet.errors import NotFound

if TYPE_CHECKING:
    from whet.foreign.find import Found
    from whet.foreign.index import Result

__all__ = ["command"]

_FORMATS = (
    "auto", "mlflow-db", "mlflow", "guild", "wandb", "huggingface", "tensorboard", "csv", "jsonl", "json", "yaml",
)  # fmt: skip
_MOST_LINES = 20


@click.command("index")
@click.argument("paths", metavar="PATH…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--project", metavar="NAME", help="Where new runs belong; default what their source says, else the default project."
)
@click.option("--format", "kind", metavar="NAME", type=click.Choice(_FORMATS), default="auto", show_default=True, help=f"What the files are: {', '.join(_FORMATS)}.")  # fmt: skip
@click.option("--rows", type=click.Choice(["auto", "steps", "runs"]), default="auto", show_default=True, help="What a row of a table is: a step of one run, or a run.")  # fmt: skip
@click.option("--files", is_flag=True, help="Keep the files of runs, too, as whet artifacts has them: of MLflow, W&B, Guild and the Trainer.")  # fmt: skip
@click.option(
    "--dry-run", is_flag=True, help="Only say what would be taken in; everything is read, nothing is written."
)
@output.json_option
@click.pass_context
def command(
    context: click.Context,
    paths: tuple[Path, ...],
    project: str | None,
    kind: str,
    rows: str,
    files: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take in runs that other tools wrote: TensorBoard, MLflow, W&B, Guild, Hugging Face, Lightning, CSV, JSON, YAML.

    PATH is a folder, looked through with all below it, or a file. Nothing there is changed, and links in it are not followed. Repeat it
    at any time, also after Ctrl-C: runs that are known are not made again, and only what is new in their files is read.

    A file that can't be read is named, the others come in all the same; then the exit status is 1. JSON: {runs: [{id, kind, path,
    project, name, phase, is_new, changed, num_points, num_files, metrics}], troubles: [{path, trouble}], num_empty, num_links, dry_run}.
    """
    from whet.foreign.find import find
    from whet.foreign.index import index

    with output.Line() as line:
        found = find(list(paths), format=kind, rows=rows, on_step=line.show)
        if not found.runs and not found.troubles:
            line.clear()
            raise NotFound(_nothing(paths, kind, found), "name the file itself, or its --format; whet index --help says what is read")  # fmt: skip
        store = session.store(look=dry_run)
        links = found.num_links
        result = index(
            found,
            store,
            project=project,
            files=files,
            dry_run=dry_run,
            on_run=lambda number, total, name: line.show(f"[{number + 1}/{total}] {name}"),
        )
    if as_json:
        output.print_json(
            {
                "runs": [asdict(run) for run in result.runs],
                "troubles": [{"path": path, "trouble": trouble} for path, trouble in result.troubles],
                "num_empty": result.num_empty,
                "num_links": links,
                "dry_run": dry_run,
            }
        )
    else:
        _say(result, links, dry_run=dry_run)
    context.exit(1 if result.troubles else 0)


def _nothing(paths: tuple[Path, ...], kind: str, found: Found) -> str:
    where = ", ".join(map(str, paths))
    links = f"; {shown.counted(found.num_links, 'link')} in it not followed" if found.num_links else ""
    what = "run" if kind == "auto" else f"{kind} run"
    return f"no {what} found in {where} ({shown.counted(found.num_folders, 'folder')} looked at{links})"


def _say(result: Result, links: int, *, dry_run: bool) -> None:
    touched = [run for run in result.runs if run.is_new or run.changed]
    if touched:
        cells = [
            [run.id, shown.value(run.name), run.kind, run.phase.value, str(len(run.metrics)), str(run.num_points), shown.value(run.project), "new" if run.is_new else ""]
            for run in touched[:_MOST_LINES]
        ]  # fmt: skip
        header = ["run", "name", "from", "state", "metrics", "points", "project", ""]
        output.table(header, cells, right=["metrics", "points"], keep=["run", "name"], elastic="name", more="--json has all")  # fmt: skip
        if len(touched) > _MOST_LINES:
            output.say(f"… and {len(touched) - _MOST_LINES} more")
    for path, trouble in result.troubles:
        output.tell(shown.value(trouble if path in trouble else f"{path}: {trouble}"))
    by_kind = Counter(run.kind for run in result.runs)
    kinds = ", ".join(f"{count} {kind}" for kind, count in by_kind.most_common())
    num_new = sum(run.is_new for run in result.runs)
    points = sum(run.num_points for run in result.runs)
    would = "would be " if dry_run else ""
    parts = [f"{shown.counted(len(result.runs), 'run')} found" + (f" ({kinds})" if kinds else "")]
    parts.append(f"{num_new} {would}new" if num_new else "none is new")
    parts.append(f"{shown.counted(points, 'point')} {would}added" if points else "no new points")
    if num_files := sum(run.num_files for run in result.runs):
        parts.append(f"{shown.counted(num_files, 'file')} {would}kept")
    if result.num_empty:
        parts.append(f"{result.num_empty} without any number left out")
    if links:
        parts.append(f"{shown.counted(links, 'link')} not followed")
    if result.troubles:
        parts.append(f"{shown.counted(len(result.troubles), 'trouble')} (see above)")
    output.say(", ".join(parts))
