from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from whet.hypergrad.penalties import L1, L2, Penalty
from whet.hypergrad.tensors import leaves, unflatten

calm = settings(deadline=None, max_examples=50)

KINDS = pytest.mark.parametrize("kind", [L1, L2])
STRENGTHS = ("number", "scalar", "one element", "rows", "layer", "weight", "some rows")


def setup(strength: str, seed: int = 0) -> tuple[dict[str, Tensor], dict, object]:
    """Return weights, hyperparameters and the `strength` of a penalty of that kind, in float64."""
    torch.manual_seed(seed)
    f64 = {"dtype": torch.float64}
    weights = {"a": torch.randn(3, 2, **f64), "b": torch.randn(2, **f64)}
    if strength == "number":
        return weights, {}, 0.3
    value = {
        "scalar": torch.tensor(0.3, **f64),
        "one element": torch.tensor([0.3], **f64),
        "rows": torch.rand(2, **f64),  # broadcasts against both
        "layer": {n: torch.rand((), **f64) for n in weights},
        "weight": {n: torch.rand_like(w) for n, w in weights.items()},
        "some rows": {"a": torch.rand(3, 1, **f64), "b": torch.rand(1, **f64)},
    }[strength]
    return weights, {"d": value}, "d"


def graphs(penalty: Penalty, weights: dict, hyper: dict, q: dict) -> tuple[dict, dict, dict]:
    """Return gradient, Hessian-vector product and mixed product by autograd through the definition."""
    w = {n: t.clone().requires_grad_() for n, t in weights.items()}
    flat = {path: t.clone().requires_grad_() for path, t in leaves(hyper).items()}
    loss = penalty.loss(w, unflatten(flat))
    grads = torch.autograd.grad(loss, list(w.values()), create_graph=True, materialize_grads=True)
    along = sum((g * q[n]).sum() for n, g in zip(w, grads, strict=True))
    second = (
        torch.autograd.grad(along, [*w.values(), *flat.values()], allow_unused=True)
        if along.requires_grad
        else [None] * 9
    )
    rest = iter(second)
    hvp = {n: next(rest) for n in w}
    return dict(zip(w, grads, strict=True)), hvp, {path: next(rest) for path in flat}


@KINDS
@pytest.mark.parametrize("strength", STRENGTHS)
def test_closed_forms_are_those_of_autograd(kind: type[Penalty], strength: str) -> None:
    weights, hyper, name = setup(strength)
    q = {n: torch.randn_like(w) for n, w in weights.items()}
    penalty = kind(strength=name)
    grads, hvp, cross = graphs(penalty, weights, hyper, q)

    mine = {n: torch.zeros_like(w) for n, w in weights.items()}
    penalty.add_grad_(mine, weights, hyper)
    products = {n: torch.zeros_like(w) for n, w in weights.items()}
    penalty.add_hvp_(products, q, hyper)
    for n in weights:
        torch.testing.assert_close(mine[n], grads[n].detach())
        torch.testing.assert_close(products[n], torch.zeros_like(q[n]) if hvp[n] is None else hvp[n])
    found = penalty.cross(weights, hyper, q)
    assert found.keys() == cross.keys()
    for path, tensor in found.items():
        torch.testing.assert_close(tensor, cross[path])


@KINDS
def test_they_add_to_what_is_there(kind: type[Penalty]) -> None:
    weights, hyper, name = setup("scalar")
    start = {n: torch.randn_like(w) for n, w in weights.items()}
    once, after = ({n: t.clone() for n, t in start.items()} for _ in range(2))
    kind(strength=name).add_grad_(once, weights, hyper)
    zero = {n: torch.zeros_like(t) for n, t in start.items()}
    kind(strength=name).add_grad_(zero, weights, hyper)
    for n in weights:
        torch.testing.assert_close(once[n], after[n] + zero[n])


def test_only_penalises_what_it_names() -> None:
    weights, hyper, name = setup("weight")
    penalty = L2(strength=name, only=lambda n: n == "a")
    q = {n: torch.ones_like(w) for n, w in weights.items()}
    assert penalty.loss(weights, hyper).item() == pytest.approx(
        float(0.5 * (hyper["d"]["a"] * weights["a"] ** 2).sum())
    )
    grads = {n: torch.zeros_like(w) for n, w in weights.items()}
    penalty.add_grad_(grads, weights, hyper)
    assert not grads["b"].any()
    assert list(penalty.cross(weights, hyper, q)) == [("d", "a")]
    nothing = L2(strength=0.5, only=lambda n: False)
    assert nothing.loss(weights, {}).item() == 0


@calm
@given(d=st.floats(0, 10), w=st.floats(-5, 5))
def test_definitions(d: float, w: float) -> None:
    weights = {"w": torch.tensor([w], dtype=torch.float64)}
    assert L2(strength=d).loss(weights, {}).item() == pytest.approx(d * w * w / 2)
    assert L1(strength=d).loss(weights, {}).item() == pytest.approx(d * abs(w))


def test_l2_is_the_weight_decay_of_sgd() -> None:
    start = torch.tensor([1.0, -2.0])
    w = torch.nn.Parameter(start.clone())
    w.grad = torch.zeros(2)
    torch.optim.SGD([w], lr=0.1, weight_decay=0.3).step()
    grads = {"w": torch.zeros(2)}
    L2(strength=0.3).add_grad_(grads, {"w": start}, {})
    torch.testing.assert_close(w.detach(), start - 0.1 * grads["w"])
