from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import Tensor

from whet.errors import HypergradError
from whet.hypergrad.tape import Place, Recorder, TapeSlots, tensors_in


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def test_a_graph_is_gone_through_with_the_weights_that_are_put_in_its_place() -> None:
    """The weights of the time of recording may be overwritten: what counts is where the walk stands."""
    weights = {"a": normal(4, 3), "b": normal(2, 4)}
    values = {n: w.clone() for n, w in weights.items()}
    x = normal(5, 3)
    own = {n: w.detach().requires_grad_() for n, w in weights.items()}
    place = Place()
    place.weights = weights
    recorder = Recorder(weights, [x], place, torch.empty(4096, dtype=torch.uint8))
    with recorder.recording():
        loss = (torch.tanh(x @ own["a"].T) @ own["b"].T[:, :1]).square().sum()
        grads = torch.autograd.grad(loss, list(own.values()), create_graph=True)
    q = [torch.ones_like(g) for g in grads]
    for w in weights.values():
        w.data.fill_(7.0)
    place.weights = values
    found = torch.autograd.grad(grads, list(own.values()), q, retain_graph=True)
    again = torch.autograd.grad(loss, list(own.values()))

    plain = {n: w.clone().requires_grad_() for n, w in values.items()}
    plain_loss = (torch.tanh(x @ plain["a"].T) @ plain["b"].T[:, :1]).square().sum()
    plain_grads = torch.autograd.grad(plain_loss, list(plain.values()), create_graph=True)
    wanted = torch.autograd.grad(plain_grads, list(plain.values()), q)
    for one, other in zip([*found, *again], [*wanted, *plain_grads], strict=True):
        assert torch.equal(one, other.detach())


def test_what_is_saved_often_is_copied_once_and_known_tensors_never() -> None:
    x, weights = normal(64, 32), {"w": normal(32, 32)}
    own = weights["w"].detach().requires_grad_()
    recorder = Recorder(weights, [x], Place())
    with recorder.recording():
        h = torch.tanh(x @ own)
        (h @ h.T + h.exp() @ h.T).sum()  # h in several forms, e^h
    assert recorder.bytes == 2 * 64 * 32 * 8


def test_a_small_part_of_something_large_does_not_bring_all_of_it() -> None:
    large = normal(1000, 32)
    own = torch.ones(32, dtype=torch.float64, requires_grad=True)
    recorder = Recorder({"w": own.detach()}, [], Place())
    with recorder.recording():
        (large[500:504] * own).sum()
    assert recorder.bytes <= 4 * 32 * 8 + 64


def test_a_tensor_that_is_changed_after_it_was_saved_is_kept_as_it_was() -> None:
    own = normal(100).requires_grad_()
    recorder = Recorder({}, [], Place())
    with recorder.recording():
        h = own * 2
        y = h**2
        h.add_(1000.0)
    (found,) = torch.autograd.grad(y.sum(), own)
    torch.testing.assert_close(found, 8 * own.detach())


def test_a_batch_that_is_changed_in_place_is_an_error() -> None:
    x, own = normal(100), normal(100).requires_grad_()
    recorder = Recorder({}, [x], Place())
    with recorder.recording():
        y = own * x
    x.mul_(2)
    with pytest.raises(HypergradError, match="in place"):
        torch.autograd.grad(y.sum(), own)


def test_a_recorded_graph_is_freed_with_its_last_reference() -> None:
    own = normal(100).requires_grad_()
    recorder = Recorder({"w": own.detach()}, [], Place())
    with recorder.recording():
        y = (own.exp() * own).sum()
    seen = weakref.ref(recorder)
    gc.disable()
    try:
        del recorder, y
        assert seen() is None
    finally:
        gc.enable()


def test_what_does_not_fit_a_slot_gets_memory_of_its_own() -> None:
    own = normal(1000).requires_grad_()
    recorder = Recorder({}, [], Place(), torch.empty(64, dtype=torch.uint8))
    with recorder.recording():
        y = (own.exp() * own.sin()).sum()
    (found,) = torch.autograd.grad(y, own)
    plain = own.detach()
    torch.testing.assert_close(found, plain.exp() * (plain.sin() + plain.cos()))


def test_slots_come_back() -> None:
    slots = TapeSlots(2, 100, torch.device("cpu"))
    (one, room), (two, _) = slots.take(), slots.take()
    assert room is not None
    assert room.numel() >= 100
    assert slots.take() == (None, None)
    slots.give(one)
    slots.give(None)
    assert slots.take()[0] == one != two


def test_the_tensors_of_a_batch_are_found_in_any_nesting() -> None:
    a, b, c = torch.zeros(1), torch.zeros(2), torch.zeros(3)
    assert [t.numel() for t in tensors_in({"x": (a, [b]), "n": 3, "c": c})] == [1, 2, 3]
    assert list(tensors_in("text")) == []
