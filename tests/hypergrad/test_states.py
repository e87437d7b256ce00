from __future__ import annotations

import errno
import io
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from whet.errors import HypergradError
from whet.hypergrad.states import Moment, States, state_bytes
from whet.hypergrad.updates.base import State


def moment(step: int, value: float, dtype: torch.dtype = torch.float64) -> Moment:
    weights = {"a": torch.full((3, 5), value, dtype=dtype).T, "b": torch.tensor(value + 1)}
    state = State(
        step=10 + step, slots={"m": {"a": torch.full((5, 3), value + 2)}}, buffers={"n": torch.tensor(int(value))}
    )
    return Moment(step=step, weights=weights, state=state)


def same(a: Moment, b: Moment) -> bool:
    pairs = [*zip(a.weights.values(), b.weights.values(), strict=True)]
    pairs += [*zip(a.state.tensors(), b.state.tensors(), strict=True)]
    pairs += [*zip(a.state.buffers.values(), b.state.buffers.values(), strict=True)]
    return a.step == b.step and a.state.step == b.state.step and all(torch.equal(x, y) for x, y in pairs)


def test_slots_and_files_give_back_what_was_put_in(tmp_path: Path) -> None:
    one, two = moment(1, 1.5), moment(2, -2.5)
    states = States(one, slots=2, folder=tmp_path, on_disk=2)
    assert states.bytes == state_bytes(one)
    kept = states.copy(one)
    scratch = states.copy(two)
    assert same(kept, one)
    assert same(scratch, two)
    assert kept.weights["a"].stride() == one.weights["a"].stride()
    states.save(scratch)
    assert sum(f.stat().st_size for f in tmp_path.rglob("*.state")) == states.bytes
    states.free(scratch)
    assert same(states.copy(one), one)  # in the slot that was freed
    assert states._free == []
    states.free(kept)
    read = states.load(2, 12)
    assert same(read, two)
    states.forget(2)
    assert not list(tmp_path.rglob("*.state"))
    states.close()
    assert list(tmp_path.iterdir()) == []


def test_memory_apart_is_nobody_elses() -> None:
    states = States(moment(0, 1.0), slots=1)
    mine = states.fill(states.apart(0), moment(4, 3.0))
    assert same(mine, moment(4, 3.0))
    assert len({t.untyped_storage().data_ptr() for t in [*mine.weights.values(), *mine.state.tensors()]}) == 3


def test_a_disk_that_is_too_small_is_an_error_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(HypergradError, match="free") as caught:
        States(moment(0, 1.0), slots=1, folder=tmp_path, on_disk=1000)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.fix


def test_a_disk_that_fills_up_is_an_error_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = States(moment(0, 1.0), slots=1, folder=tmp_path, on_disk=1)
    here = states.copy(moment(0, 1.0))

    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda *_, **__: Full())
    with pytest.raises(HypergradError, match="No space left on device") as caught:
        states.save(here)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.fix


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HypergradError, match="can't be written to"):
        States(moment(0, 1.0), slots=1, folder=tmp_path / "none", on_disk=1)
