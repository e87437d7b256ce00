from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from whet.errors import HypergradError
from whet.hypergrad.updates.adamw import AdamW
from whet.hypergrad.updates.base import Update
from whet.hypergrad.updates.clipped import Clipped
from whet.hypergrad.updates.groups import Groups
from whet.hypergrad.updates.sgd import SGD


def start(dtype: torch.dtype) -> tuple[dict[str, Tensor], torch.Generator]:
    generator = torch.Generator().manual_seed(0)
    return {n: torch.randn(s, generator=generator, dtype=dtype) for n, s in {"a": (7, 9), "b": (5,), "c": ()}.items()}, generator  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["max_norm", "max_value"])
@pytest.mark.parametrize("tuned", [False, True])
def test_equal_to_torchs_clipping(kind: str, dtype: torch.dtype, tuned: bool) -> None:
    bound = {"max_norm": 4.0, "max_value": 0.5}[kind]
    update = Clipped(update=SGD(lr=0.1, momentum=0.9), **{kind: "c" if tuned else bound})
    hyper = {"c": torch.tensor(bound, dtype=dtype)}
    weights, generator = start(dtype)
    moved = {n: w.clone() for n, w in weights.items()}
    params = {n: nn.Parameter(w.clone()) for n, w in weights.items()}
    optimizer = torch.optim.SGD(params.values(), lr=0.1, momentum=0.9)
    state, moved_state = update.init(weights), update.init(moved)
    for t in range(20):
        # Every other gradient is short enough to be left alone.
        grads = {n: torch.randn(w.shape, generator=generator, dtype=dtype) * (0.1 if t % 2 else 3.0) for n, w in weights.items()}  # fmt: skip
        for n, g in grads.items():
            params[n].grad = g.clone()
        clip = nn.utils.clip_grad_norm_ if kind == "max_norm" else nn.utils.clip_grad_value_
        clip(params.values(), bound)
        optimizer.step()
        weights, state = update(weights, grads, state, hyper)
        moved_state = update.step_(moved, grads, moved_state, hyper)
        for n, p in params.items():
            assert torch.equal(p.detach(), weights[n])
            assert torch.equal(p.detach(), moved[n])


def test_the_norm_is_over_all_weights_or_a_groups() -> None:
    weights = {"a": torch.zeros(1), "b": torch.zeros(1)}
    grads = {"a": torch.tensor([3.0]), "b": torch.tensor([4.0])}
    both = Clipped(update=Groups(groups=((("a",), SGD(lr=1.0)), (("b",), SGD(lr=1.0)))), max_norm=1.0)
    each = Groups(groups=((("a",), Clipped(update=SGD(lr=1.0), max_norm=1.0)), (("b",), SGD(lr=1.0))))
    assert torch.allclose(torch.cat(list(both(weights, grads, both.init(weights), {})[0].values())), torch.tensor([-0.6, -0.8]))  # fmt: skip
    assert torch.allclose(torch.cat(list(each(weights, grads, each.init(weights), {})[0].values())), torch.tensor([-1.0, -4.0]))  # fmt: skip


def test_gradients_of_zero_have_finite_derivatives() -> None:
    update: Update = Clipped(update=AdamW(lr="lr"), max_norm="c")
    weights, _ = start(torch.float64)
    zeros = {n: torch.zeros_like(w) for n, w in weights.items()}
    hyper = {"lr": torch.tensor(0.1), "c": torch.tensor(1.0)}
    for how in (update.vjp, lambda *a: Update.vjp(update, *a)):
        found = how(weights, zeros, update.init(weights), hyper, weights)
        flat = [*found.weights.values(), *found.grads.values(), *found.hyper.values()]
        assert all(torch.isfinite(t).all() for t in flat)
        assert ("lr",) in found.hyper
    assert update.vjp(weights, zeros, update.init(weights), hyper, weights).hyper["c",] == 0


def test_not_a_number_stays_one_as_in_torch() -> None:
    update = Clipped(update=SGD(lr=0.1), max_norm=1.0)
    weights = {"a": torch.zeros(2)}
    update.step_(weights, {"a": torch.tensor([float("nan"), 1.0])}, update.init(weights), {})
    assert weights["a"].isnan().all()


def test_what_it_refuses() -> None:
    with pytest.raises(HypergradError, match="give one of them"):
        Clipped(update=SGD())
    with pytest.raises(HypergradError, match=r"max_norm=1.0 and max_value=2.0"):
        Clipped(update=SGD(), max_norm=1.0, max_value=2.0)
    update = Clipped(update=SGD(), max_norm="c")
    weights = {"a": torch.zeros(2)}
    with pytest.raises(HypergradError, match="'c', which has many values: make it one number"):
        update(weights, weights, update.init(weights), {"c": {"a": torch.tensor(1.0)}})
    with pytest.raises(HypergradError, match=r"'c'.*there is none"):
        update(weights, weights, update.init(weights), {})
