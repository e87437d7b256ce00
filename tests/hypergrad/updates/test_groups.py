from __future__ import annotations

import pytest
import torch
from torch import nn

from whet.errors import HypergradError
from whet.hypergrad.updates.adam import Adam
from whet.hypergrad.updates.base import Part
from whet.hypergrad.updates.groups import Groups
from whet.hypergrad.updates.sgd import SGD

GROUPS = Groups(
    groups=(
        (("c", "a"), SGD(lr="lr", momentum=0.9, weight_decay=0.1)),
        (("b",), Adam(lr="lr", amsgrad=True)),
    )
)


def test_equal_to_an_optimizer_for_each_group() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = {n: torch.randn(5, generator=generator, dtype=torch.float64) for n in ("a", "b", "c", "still")}
    kept = weights["still"].clone()
    hyper = {"lr": torch.tensor(0.1, dtype=torch.float64)}
    params = {n: nn.Parameter(w.clone()) for n, w in weights.items()}
    first = torch.optim.SGD([params["a"], params["c"]], lr=0.1, momentum=0.9, weight_decay=0.1)
    second = torch.optim.Adam([params["b"]], lr=0.1, amsgrad=True)
    state = GROUPS.init(weights)
    moved, moved_state = {n: w.clone() for n, w in weights.items()}, GROUPS.init(weights)
    for _ in range(20):
        grads = {n: torch.randn(5, generator=generator, dtype=torch.float64) for n in weights}
        for n, p in params.items():
            p.grad = grads[n]
        first.step()
        second.step()
        order = list(state.slots["momentum_buffer"]), list(state.slots)
        weights, state = GROUPS(weights, grads, state, hyper)
        moved_state = GROUPS.step_(moved, grads, moved_state, hyper)
        assert list(weights) == ["a", "b", "c", "still"]
        assert (list(state.slots["momentum_buffer"]), list(state.slots)) == order
        for n in ("a", "b", "c"):
            torch.testing.assert_close(weights[n], params[n].detach(), rtol=1e-13, atol=1e-13)
            torch.testing.assert_close(moved[n], params[n].detach(), rtol=1e-13, atol=1e-13)
        assert torch.equal(weights["still"], kept)
        assert torch.equal(moved["still"], kept)
    assert state.step == moved_state.step == 20


def test_weights_in_no_group_hand_the_covector_on() -> None:
    weights = {n: torch.ones(2) for n in ("a", "b", "c", "still")}
    cot = {n: torch.full((2,), 3.0) for n in weights}
    for lean in (False, True):
        found = GROUPS.vjp(weights, weights, GROUPS.init(weights), {"lr": torch.tensor(0.1)}, cot, parts=Part.ALL, lean=lean)  # fmt: skip
        assert torch.equal(found.weights["still"], cot["still"])
        assert torch.equal(found.grads["still"], torch.zeros(2))
        assert set(found.grads) == set(weights)


def test_what_it_refuses() -> None:
    with pytest.raises(HypergradError, match="'a' is in two groups"):
        Groups(groups=((("a",), SGD()), (("b", "a"), SGD())))
    with pytest.raises(
        HypergradError, match=r"names the weight 'fc1.weigth', and there is none: there are: fc1.weight"
    ):
        Groups(groups=((("fc1.weigth",), SGD()),)).init({"fc2.bias": torch.ones(1), "fc1.weight": torch.ones(1)})
