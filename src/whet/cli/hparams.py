"""Runs as TensorBoard's event files, with what its HParams page needs. It takes the `tensorboard` package alone, without TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whet.errors import MissingDependency
from whet.store.describe import SYSTEM, values_of
from whet.trial import Phase

if TYPE_CHECKING:
    from whet.store.base import Run, Store, Sweep

__all__ = ["write_hparams"]


def write_hparams(store: Store, runs: Sequence[Run], sweeps: Mapping[str, Sweep], folder: Path) -> None:
    """Write a folder a run: its curves as scalars, and an HParams session with its parameters and how it ended.

    Args:
        store: Where the curves are.
        runs: Which.
        sweeps: Those of the runs, by id.
        folder: Is made; TensorBoard's ``--logdir``.

    Raises:
        MissingDependency: TensorBoard is not installed.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams import metadata
        from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS, STATUS_UNKNOWN
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError:
        raise MissingDependency.of("tensorboard", "tensorboard", "export --format tensorboard") from None

    def session(tag: str, **info: Any) -> Any:
        # What tensorboard.plugins.hparams.summary makes, which imports TensorFlow.
        about = metadata.create_summary_metadata(HParamsPluginData(**info))
        return Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)])

    statuses = {Phase.FINISHED: STATUS_SUCCESS, Phase.FAILED: STATUS_FAILURE}
    for run in runs:
        writer = EventFileWriter(str(folder / f"{_safe(run.name)}-{run.id}"))
        began = run.started or run.created
        ended = run.ended or began

        def put(value: Any, when: float, step: int = 0, add: Any = writer.add_event) -> None:
            add(Event(wall_time=when, step=step, summary=value))

        def scalar(tag: str, value: float) -> Any:
            return Summary(value=[Summary.Value(tag=tag, simple_value=value)])

        start = SessionStartInfo(group_name=run.id, start_time_secs=began)
        _fill(start.hparams, run)
        put(session(metadata.SESSION_START_INFO_TAG, session_start_info=start), began)
        curves = {n: c for n, c in store.runs.metrics(run.id).items() if not n.startswith(SYSTEM)}
        for name, curve in curves.items():
            for step, value, when in zip(curve.steps, curve.values, curve.times, strict=True):
                put(scalar(name, value), when, step)
        # A result that was never logged as a curve, such as a function's return value, is a curve of one point.
        for name, value in (values_of(run, sweeps.get(run.sweep or "")) or {}).items():
            if name not in curves:
                put(scalar(name, value), ended)
        end = SessionEndInfo(status=statuses.get(run.phase, STATUS_UNKNOWN), end_time_secs=ended)
        put(session(metadata.SESSION_END_INFO_TAG, session_end_info=end), ended)
        writer.close()


def _fill(hparams: Any, run: Run) -> None:
    """Write the run's configuration into a protobuf map of values of three kinds; anything else is JSON text."""
    from whet.config import flatten

    for name, value in {**flatten(run.config), **run.params}.items():
        if isinstance(value, bool):
            hparams[name].bool_value = value
        elif isinstance(value, (int, float)):
            hparams[name].number_value = value
        else:
            hparams[name].string_value = value if isinstance(value, str) else json.dumps(value)


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name)[:80].strip(".") or "run"
