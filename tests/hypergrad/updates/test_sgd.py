"""What SGD costs: passes over the weights, counted as the operations that touch a whole weight tensor."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from whet.hypergrad.linear import Step
from whet.hypergrad.problem import Bilevel
from whet.hypergrad.updates.adam import Adam
from whet.hypergrad.updates.base import Part, State, Update
from whet.hypergrad.updates.sgd import SGD

SIZE = 1000
FREE = {
    "aten.view",
    "aten._unsafe_view",
    "aten.detach",
    "aten.alias",
    "aten.expand",
    "aten.empty_like",
    "aten.reshape",
    "aten.t",
    "aten.new_zeros",
    "aten.new_ones",
    "aten.slice",
}


class Passes(TorchDispatchMode):
    """Counts operations with an argument or a result of at least SIZE elements."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        flat = [t for a in (*args, out) for t in (a if isinstance(a, list | tuple) else [a]) if isinstance(t, Tensor)]
        if any(t.numel() >= SIZE for t in flat) and str(func).rsplit(".", 1)[0] not in FREE:
            self.seen.append(str(func))
        return out


def counted(call: Any) -> list[str]:
    with Passes() as passes:
        call()
    return passes.seen


def setting_of(update: Update, step: int = 5) -> tuple[Any, ...]:
    weights = {"w": torch.randn(SIZE)}
    slots = {kind: {"w": torch.rand(SIZE)} for kind in update.init(weights).slots}
    hyper = {"lr": torch.tensor(0.1), "m": torch.tensor(0.9), "wd": torch.tensor(0.01), "each": {"w": torch.rand(SIZE)}}
    return weights, {"w": torch.randn(SIZE)}, State(step=step, slots=slots), hyper


TUNED = SGD(lr="lr", momentum="m", weight_decay="wd")


@pytest.mark.parametrize(
    ("update", "parts", "slots", "passes"),
    [
        (TUNED, Part.WEIGHTS, False, 1),  # ḡ; w̄ is the covector times a factor
        (TUNED, Part(0), False, 1),
        (TUNED, Part.HYPER, False, 4),  # and three inner products, shared by three knobs
        (TUNED, Part.WEIGHTS | Part.SLOTS, True, 3),
        (TUNED, Part.ALL, True, 8),
        (SGD(lr="lr"), Part.WEIGHTS, False, 1),
        (SGD(lr="lr"), Part.HYPER, False, 2),
        (SGD(lr="each"), Part.WEIGHTS, False, 1),
        (SGD(lr="each", momentum="m", weight_decay="wd"), Part.WEIGHTS, False, 2),
        (SGD(lr=0.1, weight_decay="each"), Part.WEIGHTS, False, 2),
        (SGD(lr=0.1, weight_decay="each"), Part.HYPER, False, 2),
    ],
)
def test_passes_of_a_vjp(update: SGD, parts: Part, slots: bool, passes: int) -> None:
    weights, grads, state, hyper = setting_of(update)
    cot = {"w": torch.randn(SIZE)}
    cot_slots = {k: {"w": torch.randn(SIZE)} for k in state.slots} if slots else None
    seen = counted(lambda: update.vjp(weights, grads, state, hyper, cot, cot_slots, parts=parts, lean=True))
    assert len(seen) == passes, seen


@pytest.mark.parametrize(
    ("update", "theirs"),
    [
        (TUNED, torch.optim.SGD),
        (SGD(lr="each", momentum="each", weight_decay="each"), torch.optim.SGD),
        (SGD(lr=0.1), torch.optim.SGD),
        (Adam(lr="lr"), torch.optim.Adam),
    ],
)
def test_passes_of_a_step_in_place_are_no_more_than_torchs(update: Update, theirs: Any) -> None:
    weights, grads, state, hyper = setting_of(update)
    param = torch.nn.Parameter(weights["w"].clone())
    knobs = {"momentum": 0.9, "weight_decay": 0.01} if getattr(update, "momentum", 0) != 0 else {}
    optimizer = theirs([param], lr=0.1, foreach=False, **knobs)
    param.grad = grads["w"].clone()
    optimizer.step()
    peer = counted(optimizer.step)
    seen = counted(lambda: update.step_(weights, grads, state, hyper))
    assert len(seen) <= len(peer), (seen, peer)


def quartic(update: Update) -> Bilevel:
    def loss(w: Any, batch: Any, hyper: Any) -> Tensor:
        return (w["w"] ** 4).sum() / 12 + (w["w"][1:] * w["w"][:-1]).sum() / 2

    return Bilevel(train_loss=loss, val_loss=loss, update=update)


@pytest.mark.parametrize(
    "update", [TUNED, SGD(lr="each", momentum="m"), Adam(lr="lr", eps=0.1, weight_decay="wd"), Adam(lr="each", eps=0.1)]
)
def test_a_covector_through_a_linearised_step(update: Update) -> None:
    """aᵀ∂Φ/∂w costs a Hessian product and two or three passes, and is what autograd says, the second time, too."""
    weights, _, state, hyper = setting_of(update)
    state = state.with_tensors([t + 0.5 for t in state.tensors()])
    problem = quartic(update)
    step = Step(problem, weights, hyper, None, state)
    own = {"w": weights["w"].clone().requires_grad_()}
    with torch.enable_grad():
        (grad,) = torch.autograd.grad(problem.train(own, hyper, None), [own["w"]], create_graph=True)
        new, _ = update(own, {"w": grad}, state, hyper)
    hessian = counted(lambda: step.curvature.hvp({"w": torch.ones(SIZE)}))
    for _ in range(3):
        a = {"w": torch.randn(SIZE)}
        (expected,) = torch.autograd.grad(new["w"], [own["w"]], a["w"], retain_graph=True)
        found = step.vjp(a, slots=False, hyper=False)[0]["w"]
        torch.testing.assert_close(found, expected)
    seen = counted(lambda: step.vjp(a, slots=False, hyper=False))
    assert len(seen) <= len(hessian) + (3 if isinstance(update, Adam) else 2), seen
    everything = step.vjp(a)
    torch.testing.assert_close(everything[0]["w"], expected)
    assert set(everything[2]) == {("each", "w") if "each" in update.hyper_names else ("lr",)} | {(n,) for n in update.hyper_names if n != "each"}  # fmt: skip
